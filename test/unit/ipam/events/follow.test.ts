import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { allocate } from '../../../../ipam/allocate/allocate.ts';
import type { CellEvent } from '../../../../ipam/events/event.ts';
import { follow, startBehind, startNow, type Start } from '../../../../ipam/events/follow.ts';
import { initialEvents } from '../../../../ipam/events/initial.ts';
import { after, parsePosition } from '../../../../ipam/events/position.ts';
import { replay } from '../../../../ipam/events/replay.ts';
import { firstAtOrAfter, isSince, startSince } from '../../../../ipam/events/since.ts';
import { formatAddress } from '../../../../ipam/model/address.ts';
import type { Effects } from '../../../../ipam/model/effects.ts';
import { directIpam, type Ipam } from '../../../../ipam/node/ipam.ts';
import { addRange, setRangeState } from '../../../../ipam/ranges/ranges.ts';
import { decodeBlock } from '../../../../ipam/records/block-record.ts';
import { BLOCKS } from '../../../../ipam/records/keys.ts';
import { del, put } from '../../../../ipam/records/transaction.ts';
import { release } from '../../../../ipam/release/release.ts';
import { EventLedger, toldOf } from '../../../support/event-ledger.ts';
import { WatchedMemory } from '../../../support/watched-memory.ts';
import { DEL, owner, range } from '../world.ts';

/** A cluster whose assignments and releases are noted outside of it. */
class Journaled {
  readonly store = new WatchedMemory();
  now = Date.parse('2026-01-01T00:00:00Z');
  readonly effects: Effects = {
    now: () => this.now,
    monotonic: () => this.now,
    random: () => 0.5,
    pause: () => turn(),
    yieldTurn: () => turn(),
    schedule: () => ({ cancel: () => undefined }),
  };
  readonly ipam: Ipam = directIpam(this.store, this.effects);
  /** `assigned c1`, `released c1`, … by address. */
  readonly journal = new Map<string, string[]>();
  readonly #living: { readonly id: string; readonly node: string; readonly ips: string[] }[] = [];
  #serial = 0;

  async begin(): Promise<this> {
    await addRange(this.ipam, range('10.20.0.0/27', { name: 'blue', blockSize: 4, cooldownMs: 0 }));
    return this;
  }

  async assign(n: number): Promise<void> {
    this.now += 10;
    const [id, node] = [`c${++this.#serial}`, `node-${n % 2}`];
    const pod = { podNamespace: 'shop', podName: id, podUid: `u-${id}` };
    try {
      const given = await allocate(this.ipam, { node, owner: owner(id, pod), families: [4] });
      const ips = given.map(({ address }) => formatAddress(address));
      this.#living.push({ id, node, ips });
      for (const ip of ips) this.#note(ip, `assigned ${id}`);
    } catch {
      // The range is full.
    }
  }

  async release(n: number): Promise<void> {
    this.now += 10;
    const [one] = this.#living.splice(n % Math.max(1, this.#living.length), 1);
    if (!one) return;
    const attachment = { containerId: one.id, ifname: 'eth0' };
    await release(this.ipam, { node: one.node, attachment, cause: DEL });
    for (const ip of one.ips) this.#note(ip, `released ${one.id}`);
  }

  blocks(): ReturnType<typeof decodeBlock>[] {
    return [...this.store.entries.values()]
      .filter(({ key }) => key.startsWith(BLOCKS))
      .map(({ key, value }) => decodeBlock(key, value));
  }

  #note(ip: string, what: string): void {
    this.journal.set(ip, [...(this.journal.get(ip) ?? []), what]);
  }
}

/** Reads events as a client does: it may be cut off behind any event, and go on from there. */
class Reader {
  readonly events: CellEvent[] = [];
  #stop = new AbortController();
  #reading: Promise<void> = Promise.resolve();
  readonly #world: Journaled;

  constructor(world: Journaled) {
    this.#world = world;
  }

  begin(start: Start): void {
    this.#stop = new AbortController();
    this.#reading = this.#read(start, this.#stop.signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }

  /** Ends, forgets the last events as one that crashed, and goes on from its last position. */
  async crash(forgets: number): Promise<void> {
    await this.stop();
    while (this.events.length > 0 && forgets-- > 0 && this.events.at(-1)?.recorded !== true)
      this.events.pop();
    const last = this.events.findLast(({ position }) => position !== null)?.position ?? '1';
    this.begin(await startBehind(this.#world.store.watches, parsePosition(last, 'it')));
  }

  /** Waits until it has read everything. */
  async caughtUp(): Promise<void> {
    for (let i = 0; i < 100; i++) await turn();
  }

  byAddress(): Map<string, string[]> {
    const told = new Map<string, string[]>();
    for (const { type, ip, containerId } of this.events)
      if (ip !== null && (type === 'assigned' || type === 'released'))
        told.set(ip, [...(told.get(ip) ?? []), `${type} ${containerId ?? ''}`]);
    return told;
  }

  async #read(start: Start, signal: AbortSignal): Promise<void> {
    const { effects, store } = this.#world;
    for await (const { events } of follow(store.watches, start, { effects, signal }))
      for (const event of events) if (!signal.aborted) this.events.push(event);
  }
}

type Step = { readonly act: 'assign' | 'release' | 'cut' | 'compact' | 'crash' | 'look'; readonly n: number };
const steps = (acts: readonly Step['act'][]) =>
  fc.array(fc.record({ act: fc.constantFrom(...acts), n: fc.nat(20) }), { maxLength: 60 });

async function perform(world: Journaled, reader: Reader, list: readonly Step[]): Promise<void> {
  for (const { act, n } of list) {
    if (act === 'assign') await world.assign(n);
    if (act === 'release') await world.release(n);
    if (act === 'cut') world.store.cut();
    if (act === 'compact') world.store.compact();
    if (act === 'crash') await reader.crash(n % 3);
    if (act === 'look') await reader.caughtUp();
  }
  await reader.caughtUp();
  await reader.stop();
}

async function following(): Promise<{ world: Journaled; reader: Reader }> {
  const world = await new Journaled().begin();
  const reader = new Reader(world);
  reader.begin(await startNow(world.store.watches));
  return { world, reader };
}

suite('a stream of events', () => {
  test('tells each event once, over lost connections and readers that crash', async () => {
    const acts = ['assign', 'assign', 'release', 'cut', 'crash', 'look'] as const;
    await fc.assert(
      fc.asyncProperty(steps(acts), async (list) => {
        const { world, reader } = await following();
        await perform(world, reader, list);
        assert.deepEqual(reader.byAddress(), world.journal);
        const told = new EventLedger().take(reader.events);
        assert.deepEqual(told.addresses, toldOf(world.blocks()).addresses);
        assert.equal(new Set(reader.events.map(({ position }) => position)).size, reader.events.length);
        assert.ok(reader.events.every(({ type }) => type !== 'gap'));
      }),
      { numRuns: 60 },
    );
  });

  test('bridges a compaction by the history: every lifetime is told', async () => {
    const acts = ['assign', 'assign', 'release', 'cut', 'compact', 'look'] as const;
    await fc.assert(
      fc.asyncProperty(steps(acts), async (list) => {
        const { world, reader } = await following();
        await perform(world, reader, list);
        const gaps = reader.events.filter(({ type }) => type === 'gap');
        // A block of 4 keeps 8 lifetimes. A gap says whether it had to leave any out.
        if (gaps.every(({ complete }) => complete === true))
          assert.deepEqual(reader.byAddress(), world.journal);
        const told = new EventLedger().take(reader.events.map(withoutSequence));
        assert.deepEqual(
          [...told.addresses].map(([ip, { containerId }]) => `${ip} ${containerId ?? ''}`).sort(),
          [...toldOf(world.blocks()).addresses]
            .map(([ip, { containerId }]) => `${ip} ${containerId ?? ''}`)
            .sort(),
        );
      }),
      { numRuns: 60 },
    );
  });

  const withoutSequence = ({ sequence: _, ...event }: CellEvent): CellEvent => event;

  test('a compaction up to the very next revision loses no deletion', async () => {
    const { world, reader } = await following();
    await world.assign(0);
    await reader.caughtUp();
    await world.store.commit([], [put('alive/node-0', JSON.stringify(alive))]);
    await reader.caughtUp();
    world.store.cut();
    await world.store.commit([], [del('alive/node-0')]);
    world.store.compact();
    await reader.caughtUp();
    await reader.stop();
    assert.deepEqual(
      reader.events.slice(-3).map(({ type }) => type),
      ['node-alive', 'gap', 'node-silent'],
    );
    assert.equal(reader.events.at(-2)?.complete, true);
  });
  const alive = { v: 1, machine: 'm', bootId: 'b', since: '2026-01-01T00:00:00.000Z' };

  test('nothing that happened is no gap', async () => {
    const { world, reader } = await following();
    await world.assign(0);
    await reader.caughtUp();
    world.store.cut();
    await world.store.commit([], [put('elsewhere', '1')]);
    world.store.compact();
    await world.assign(0);
    await reader.caughtUp();
    await reader.stop();
    assert.ok(reader.events.length > 2);
    const gaps = reader.events.filter(({ type }) => type === 'gap');
    assert.deepEqual(
      gaps.map(({ complete }) => complete),
      gaps.map(() => true),
    );
    assert.deepEqual(reader.byAddress(), world.journal);
  });

  test('an etcd that was set back is told, with what is different', async () => {
    const { world, reader } = await following();
    await world.assign(0);
    await reader.caughtUp();
    const revision = Number(world.store.revision);
    await world.assign(0);
    await world.assign(0);
    await reader.caughtUp();
    world.store.setBack(revision);
    // Another history, which has come further than the one before by the time of the next look.
    for (let n = 0; n < 3; n++) await world.store.commit([], [put('elsewhere', String(n))]);
    await reader.caughtUp();
    await reader.stop();
    assert.deepEqual(reader.events.map(({ type, reason, ip }) => [type, reason ?? ip !== null]).slice(-3), [
      ['gap', 'set-back'],
      ['released', true],
      ['released', true],
    ]);
    const told = new EventLedger().take(reader.events);
    assert.deepEqual(told.addresses, toldOf(world.blocks()).addresses);
  });

  test('an etcd that was set back is told, also where its revisions go on far ahead, all compacted', async () => {
    const { world, reader } = await following();
    await world.assign(0);
    await world.assign(1);
    await reader.caughtUp();
    const revision = Number(world.store.revision);
    await world.assign(0);
    await world.assign(1);
    await reader.caughtUp();
    world.store.setBackBumped(revision, 1_000_000);
    // What was the newest record has changed again: it does not tell any more.
    await world.assign(1);
    await reader.caughtUp();
    await reader.stop();
    const [gap] = reader.events.filter(({ type }) => type === 'gap');
    assert.deepEqual([gap?.reason, gap?.complete], ['set-back', false]);
    const told = new EventLedger().take(reader.events);
    assert.deepEqual(told.addresses, toldOf(world.blocks()).addresses);
  });

  test('a position that etcd has forgotten begins with a gap that does not claim to be whole', async () => {
    const world = await new Journaled().begin();
    await world.assign(0);
    await world.assign(0);
    await world.release(0);
    world.store.compact();
    const { events } = await startBehind(world.store.watches, after(3));
    assert.deepEqual([events[0]?.type, events[0]?.complete, events[0]?.from], ['gap', false, 3]);
    assert.ok(events.slice(1).every(({ recorded }) => recorded));
    assert.ok(events.some(({ type, why }) => type === 'released' && why === 'del'));
    // A reader that is cut off within goes on before the gap, one that has read all behind it.
    assert.deepEqual([events[0]?.position, events.at(-1)?.position], ['3', String(world.store.revision)]);
  });

  test('a revision that etcd has not reached is one of another history', async () => {
    const world = await new Journaled().begin();
    const { events, state } = await startBehind(world.store.watches, after(900));
    assert.deepEqual([events[0]?.reason, events[0]?.complete, state.revision], ['set-back', false, 2]);
  });

  test('a record that cannot be read is told, and what was known of it counts until it is mended', async () => {
    const { world, reader } = await following();
    await world.assign(0);
    const [entry] = [...world.store.entries.values()].filter(({ key }) => key.startsWith(BLOCKS));
    assert.ok(entry);
    await world.store.commit([], [put(entry.key, '{"v":9}')]);
    await world.store.commit([], [put(entry.key, entry.value)]);
    await world.release(0);
    await reader.caughtUp();
    await reader.stop();
    const types = reader.events.map(({ type }) => type);
    assert.deepEqual(types.slice(-3), ['assigned', 'unreadable', 'released']);
    assert.match(reader.events.find(({ type }) => type === 'unreadable')?.reason ?? '', /newer cellnet/);
  });

  test('ranges and nodes', async () => {
    const { world, reader } = await following();
    await setRangeState(world.ipam, 'blue', 'draining');
    await reader.caughtUp();
    await reader.stop();
    assert.deepEqual(
      reader.events.map(({ type, range: name, state }) => [type, name, state]),
      [['range-changed', 'blue', 'draining']],
    );
  });
});

suite('the past', () => {
  const read = async (
    world: Journaled,
    start: Start,
    until = Number(world.store.revision),
  ): Promise<CellEvent[]> => {
    const events: CellEvent[] = [];
    const options = { effects: world.effects, signal: new AbortController().signal };
    for await (const told of replay(world.store.watches, start, until, options)) events.push(...told.events);
    return events;
  };

  test('is told up to a revision, also where the last change is a deletion or none of ours', async () => {
    const world = await new Journaled().begin();
    await world.assign(0);
    await world.release(0);
    const [entry] = [...world.store.entries.values()].filter(({ key }) => key.startsWith(BLOCKS));
    await world.store.commit([], [del(entry?.key ?? '')]);
    await world.store.commit([], [put('elsewhere', '1')]);
    const until = Number(world.store.revision);
    await world.assign(1);
    const events = await read(world, await startBehind(world.store.watches, after(1)), until);
    assert.ok(events.every(({ revision }) => revision <= until));
    assert.equal(events.at(-1)?.type, 'block-returned');
    assert.equal(new EventLedger().take(events).blocks.size, 0);
  });

  test('begins at a time: by revisions, or by records where etcd has forgotten them', async () => {
    for (const isCompacted of [false, true]) {
      const world = await new Journaled().begin();
      await world.assign(0);
      await world.release(0);
      world.now += 3_600_000;
      const since = world.now - 600_000;
      await world.assign(0);
      await world.release(0);
      await world.assign(0);
      if (isCompacted) world.store.compact();
      await world.assign(0);
      const events = await read(world, await startSince(world.store.watches, since, world.effects));
      const told = events.filter((event) => isSince(event, since) && event.ip !== null);
      assert.deepEqual(
        told.map(({ type, containerId }) => `${type} ${containerId ?? ''}`),
        ['assigned c2', 'released c2', 'assigned c3', 'assigned c4'],
      );
      assert.equal(told[0]?.recorded, isCompacted ? true : undefined);
    }
  });

  test('the first revision of a time is found among many', async () => {
    const times = Array.from({ length: 1_000 }, (_, i) => i * 10);
    let asked = 0;
    const timeAt = (revision: number): Promise<number | undefined> => {
      asked += 1;
      return Promise.resolve(times[revision]);
    };
    assert.equal(await firstAtOrAfter(0, 1_000, 5_001, timeAt), 501);
    assert.ok(asked <= 11);
    assert.equal(await firstAtOrAfter(0, 1_000, 99_999, timeAt), 1_000);
  });

  test('what there is now is told as events, ranges first, with an end', async () => {
    const world = await new Journaled().begin();
    await world.assign(0);
    await world.assign(1);
    const { state } = await startNow(world.store.watches);
    const events = [...initialEvents(state)].flat();
    assert.deepEqual([events[0]?.type, events.at(-1)?.type], ['range-added', 'synced']);
    assert.equal(events.at(-1)?.position, String(world.store.revision));
    assert.ok(events.slice(0, -1).every(({ position, initial }) => position === null && initial));
    assert.deepEqual(new EventLedger().take(events).addresses, toldOf(world.blocks()).addresses);
  });
});
