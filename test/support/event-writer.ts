/** Writers whose changes are noted outside of etcd, to hold events against. */
import { hostEffects } from '../../cni/host/effects.ts';
import { allocate } from '../../ipam/allocate/allocate.ts';
import type { CellEvent } from '../../ipam/events/event.ts';
import { formatAddress, parseAddress } from '../../ipam/model/address.ts';
import { newBlock, takeSlot } from '../../ipam/model/block.ts';
import { blockAt } from '../../ipam/model/range.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { addRange } from '../../ipam/ranges/ranges.ts';
import { encodeBlock } from '../../ipam/records/block-record.ts';
import { blockKey } from '../../ipam/records/keys.ts';
import { put } from '../../ipam/records/transaction.ts';
import { release } from '../../ipam/release/release.ts';
import type { Store } from '../../ipam/store/store.ts';
import { DEL, owner, range } from '../unit/ipam/world.ts';

/** Assigns and releases addresses, and keeps the journal. */
export class Writer {
  readonly journal = new Map<string, string[]>();
  readonly #ipam: Ipam;
  readonly #living: { readonly id: string; readonly node: string; readonly ips: readonly string[] }[] = [];
  #serial = 0;

  readonly #prefix: string;

  /** @param prefix of container IDs: an attachment that has its address gets no other */
  constructor(ipam: Ipam, prefix = 'c') {
    this.#ipam = ipam;
    this.#prefix = prefix;
  }

  async assign(node: string, namespace = 'shop'): Promise<string> {
    const id = `${this.#prefix}${++this.#serial}`;
    const pod = { podNamespace: namespace, podName: id, podUid: `u-${id}` };
    const given = await this.#insist(() =>
      allocate(this.#ipam, { node, owner: owner(id, pod), families: [4] }),
    );
    const ips = given.map(({ address }) => formatAddress(address));
    this.#living.push({ id, node, ips });
    for (const ip of ips) this.#note(ip, `assigned ${id}`);
    return ips.join();
  }

  async release(): Promise<void> {
    const one = this.#living.shift();
    if (!one) return;
    const attachment = { containerId: one.id, ifname: 'eth0' };
    await this.#insist(() => release(this.#ipam, { node: one.node, attachment, cause: DEL }));
    for (const ip of one.ips) this.#note(ip, `released ${one.id}`);
  }

  /** As the kubelet does: again, until etcd is back. */
  async #insist<T>(work: () => Promise<T>): Promise<T> {
    for (;;)
      try {
        return await work();
      } catch {
        await hostEffects.pause(100);
      }
  }

  #note(ip: string, what: string): void {
    this.journal.set(ip, [...(this.journal.get(ip) ?? []), what]);
  }
}

export const byAddress = (events: readonly CellEvent[]): Map<string, string[]> => {
  const told = new Map<string, string[]>();
  for (const { type, ip, containerId } of events)
    if (ip !== null && (type === 'assigned' || type === 'released'))
      told.set(ip, [...(told.get(ip) ?? []), `${type} ${containerId ?? ''}`]);
  return told;
};

export const size = (told: ReadonlyMap<string, readonly string[]>): number =>
  [...told.values()].reduce((sum, each) => sum + each.length, 0);

/** Puts blocks of a range of their own, each of which tells many events at once. */
export async function flood(store: Store, events: number): Promise<void> {
  const wide = range('10.64.0.0/14', { name: 'wide', cooldownMs: 0, blockSize: 64 });
  await addRange({ store, effects: hostEffects } as Ipam, wide);
  for (let n = 0; n * 65 < events; n++) {
    const cidr = blockAt(wide, parseAddress(`10.${64 + (n >> 10)}.${(n >> 2) & 255}.${(n & 3) * 64}`));
    let block = newBlock(wide, cidr, `flood-${n}`, Date.now());
    block.slots.forEach((slot, i) => {
      if (slot.state === 'free')
        block = takeSlot(
          block,
          i,
          owner(`f-${n}-${i}`, { podNamespace: 'flood', podName: `f-${n}-${i}`, podUid: `u-${n}-${i}` }),
          Date.now(),
        ).block;
    });
    await store.commit([], [put(blockKey('wide', cidr), encodeBlock(block))]);
  }
}
