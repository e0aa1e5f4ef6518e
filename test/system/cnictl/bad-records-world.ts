import assert from 'node:assert/strict';
import type { Effects } from '../../../ipam/model/effects.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { encodeRange } from '../../../ipam/records/range-record.ts';
import { del, put, type Entry } from '../../../ipam/records/transaction.ts';
import { scanAll, type Store } from '../../../ipam/store/store.ts';
import { CliWorld } from '../../golden/world.ts';
import { range } from '../../unit/ipam/world.ts';

type Record = Pick<Entry, 'key' | 'value'>;

/** The kind of record that is bad. */
export type Group = 'range' | 'block' | 'index' | 'mark' | 'history';

export interface BadRecord {
  readonly what: string;
  readonly group: Group;
  readonly bad: Record;
  /** Sound records that belong to the bad one. */
  readonly beside: readonly Record[];
  /** The records of a sound world that all others must see in place of the bad one. */
  readonly like: readonly Record[];
  /** What is told about the record. */
  readonly reason: RegExp;
}

/** Returns the block that a third node claims, with one address, and its index entry. */
async function thirdNode(): Promise<{ readonly block: Record; readonly index: Record }> {
  const world = await CliWorld.make();
  await world.give('node-3', 7, 'extra');
  const entries = [...world.ipam.store.entries.values()];
  const index = entries.find(({ key }) => key.startsWith('nodes/node-3/'));
  const block = entries.find(({ key }) => key === index?.key.replace('nodes/node-3/', 'blocks/blue/'));
  assert.ok(block && index);
  return { block, index };
}

const newer = (value: string): string => value.replace('"v":1', '"v":9');
const NEWER = /was written by a newer cellnet: its version is 9, and this one reads [12]/;
const NO_JSON = /holds no JSON/;

function withoutSlot(value: string): string {
  const block = JSON.parse(value) as { slots: unknown[] };
  return JSON.stringify({ ...block, slots: block.slots.slice(0, -1) });
}

export async function badRecords(): Promise<BadRecord[]> {
  const { block, index } = await thirdNode();
  const red = encodeRange(range('10.99.0.0/24', { name: 'red' }));
  const mark = { key: 'nodes/node-9/draining', value: '{"v":1,"since":"2026-01-01T00:00:00.000Z"}' };
  const nothing = { beside: [], like: [] } as const;
  const ranges = [
    ['a truncated range', 'ranges/red', red.slice(0, 40), NO_JSON],
    ['a newer range', 'ranges/red', newer(red), NEWER],
    ['a stray key below ranges/', 'ranges/blue/notes', 'ask Bob', NO_JSON],
    ['a copy of a range', 'ranges/zz', red, /holds the value of 'ranges\/red'/],
  ] as const;
  const blocks = [
    ['a truncated block', block.value.slice(0, 60), NO_JSON],
    ['an empty block', '', NO_JSON],
    ['a newer block', newer(block.value), NEWER],
    ['a block that does not fit', withoutSlot(block.value), /is not sound: .*has 15 slots, not 16/],
  ] as const;
  const others: BadRecord[] = [
    {
      what: 'a stray key below blocks/',
      group: 'block',
      bad: { key: 'blocks/blue/10.20.3.128/27', value: 'x' },
      ...nothing,
      reason: NO_JSON,
    },
    {
      what: 'a truncated lifetime',
      group: 'history',
      bad: { key: 'history/blue/10.20.0.16/28/30', value: '{"v":1,"ip' },
      ...nothing,
      reason: NO_JSON,
    },
  ];
  return [
    ...ranges.map(
      ([what, key, value, reason]) =>
        ({ what, group: 'range', bad: { key, value }, ...nothing, reason }) as const,
    ),
    ...blocks.map(
      ([what, value, reason]) =>
        ({ what, group: 'block', bad: { ...block, value }, beside: [index], like: [], reason }) as const,
    ),
    ...[
      ['a truncated index entry', index.value.slice(0, 9), NO_JSON] as const,
      ['a newer index entry', newer(index.value), NEWER] as const,
    ].map(
      ([what, value, reason]) =>
        ({
          what,
          group: 'index',
          bad: { ...index, value },
          beside: [block],
          like: [block, index],
          reason,
        }) as const,
    ),
    ...[
      ['a truncated drain mark', mark.value.slice(0, 9), NO_JSON] as const,
      ['a newer drain mark', newer(mark.value), NEWER] as const,
    ].map(
      ([what, value, reason]) =>
        ({ what, group: 'mark', bad: { ...mark, value }, beside: [], like: [mark], reason }) as const,
    ),
    ...others,
  ];
}

/** A cluster with fixed contents in a real etcd, on which cnictl and IPAM work. */
export class EtcdWorld {
  readonly cli: CliWorld;
  readonly ipam: Ipam;
  readonly #store: Store;
  readonly #sound: readonly Record[];

  private constructor(cli: CliWorld, store: Store) {
    this.cli = cli;
    this.#store = store;
    this.#sound = [...cli.ipam.store.entries.values()];
    cli.store = store;
    const { effects }: { effects: Effects } = cli.ipam;
    this.ipam = directIpam(store, effects);
  }

  static async make(store: Store): Promise<EtcdWorld> {
    return new EtcdWorld(await CliWorld.make(), store);
  }

  /** Replaces the contents of etcd by the world's first contents and these records. */
  async fill(more: readonly Record[]): Promise<void> {
    await this.empty();
    await this.#write([...this.#sound, ...more].map(({ key, value }) => put(key, value)));
  }

  async empty(): Promise<void> {
    await this.#write((await scanAll(this.#store, '')).map(({ key }) => del(key)));
  }

  async content(): Promise<Map<string, string>> {
    return new Map((await scanAll(this.#store, '')).map(({ key, value }) => [key, value]));
  }

  async #write(writes: Parameters<Store['commit']>[1]): Promise<void> {
    for (let i = 0; i < writes.length; i += 100) await this.#store.commit([], writes.slice(i, i + 100));
  }
}
