import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, parseAddress, parseCidr } from '../../../ipam/model/address.ts';
import { countSlots, nextRestedMs, tallyOf } from '../../../ipam/model/block-counts.ts';
import {
  newBlock,
  nextCandidate,
  releaseSlot,
  slotAddress,
  takeSlot,
  usedSlots,
  type Block,
} from '../../../ipam/model/block.ts';
import { validateBlock } from '../../../ipam/model/validate-block.ts';
import { DEL, owner, range } from './world.ts';

const COOLDOWN = 30_000;
const blue = range('10.20.0.0/22', { gateway: '10.20.0.1', exclude: ['10.20.0.4-10.20.0.5'] });
const first = (): Block => newBlock(blue, parseCidr('10.20.0.0/28'), 'node-1', 0);

function take(
  block: Block,
  id: string,
  now: number,
): { block: Block; ip: string; sequence: number } | undefined {
  const candidate = nextCandidate(block, now, COOLDOWN);
  if (!candidate) return undefined;
  const taken = takeSlot(block, candidate.index, owner(id), now);
  return {
    block: taken.block,
    ip: formatAddress(slotAddress(block, candidate.index)),
    sequence: taken.slot.sequence,
  };
}

suite('blocks', () => {
  test('a new one reserves network, gateway and exclusions', () => {
    const block = first();
    assert.deepEqual(validateBlock(block, blue), []);
    assert.deepEqual(countSlots(block, 0, COOLDOWN), {
      capacity: 12,
      used: 0,
      cooling: 0,
      free: 12,
      kept: 0,
      reserved: 4,
    });
    const last = newBlock(blue, parseCidr('10.20.3.240/28'), 'node-1', 0);
    assert.equal(countSlots(last, 0, COOLDOWN).capacity, 15);
  });

  test('a tally tells what lies between two states, also where an address changed hands in between', () => {
    const a = take(first(), 'a', 0);
    const b = a && take(a.block, 'b', 0);
    assert.ok(a && b);
    assert.deepEqual(tallyOf(undefined, b.block), { given: 2, released: 0 });
    assert.deepEqual(tallyOf(b.block, b.block), { given: 0, released: 0 });
    const expected = { ...owner('a'), sequence: a.sequence };
    const released = releaseSlot(b.block, parseAddress(a.ip), expected, 1, DEL);
    assert.ok(released.outcome === 'released');
    assert.deepEqual(tallyOf(b.block, released.block), { given: 0, released: 1 });
    const index = b.block.slots.findIndex((slot) => slot.state === 'used' && slot.sequence === a.sequence);
    const again = takeSlot(released.block, index, owner('c'), 2);
    assert.deepEqual(tallyOf(b.block, again.block), { given: 1, released: 1 });
  });

  /** Compares the block with a model that keeps its state in plain lists. */
  test('random takes, releases and passing time agree with a model; nothing is lost or doubled', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant({ kind: 'take' as const }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), pick: fc.nat(100) }) },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
      },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        let block = first();
        let now = 1_000_000;
        let id = 0;
        const used = new Map<string, { id: string; sequence: number }>();
        let queue = [
          '10.20.0.2',
          '10.20.0.3',
          ...Array.from({ length: 10 }, (_, i) => `10.20.0.${i + 6}`),
        ].map((ip) => ({ ip, at: -Infinity }));
        for (const each of steps) {
          if (each.kind === 'wait') now += each.ms;
          if (each.kind === 'take') {
            const rested = queue.filter(({ at }) => now - at >= COOLDOWN).sort((a, b) => a.at - b.at);
            const taken = take(block, `c${++id}`, now);
            assert.equal(taken?.ip === undefined, rested.length === 0);
            if (!taken) continue;
            // FIFO: no waiting address was released earlier.
            const turn = queue.find(({ ip }) => ip === taken.ip)?.at;
            assert.equal(turn, rested[0]?.at);
            block = taken.block;
            queue = queue.filter(({ ip }) => ip !== taken.ip);
            used.set(taken.ip, { id: `c${id}`, sequence: taken.sequence });
          }
          if (each.kind === 'release' && used.size > 0) {
            const [ip, { id: containerId, sequence }] = [...used][each.pick % used.size] ?? assert.fail();
            const result = releaseSlot(
              block,
              parseAddress(ip),
              { containerId, ifname: 'eth0', sequence },
              now,
              DEL,
            );
            assert.ok(result.outcome === 'released');
            block = result.block;
            used.delete(ip);
            queue.push({ ip, at: now });
          }
          assert.deepEqual(validateBlock(block, blue), []);
          assert.deepEqual(
            usedSlots(block)
              .map(({ address }) => formatAddress(address))
              .sort(),
            [...used.keys()].sort(),
          );
          const counts = countSlots(block, now, COOLDOWN);
          assert.equal(counts.used + counts.cooling + counts.free, counts.capacity);
        }
      }),
    );
  });

  test('a release is refused for another container, interface or sequence, and the block stays', () => {
    const taken = take(first(), 'a', 5) ?? assert.fail();
    const ip = parseAddress(taken.ip);
    const expected = { containerId: 'a', ifname: 'eth0', sequence: taken.sequence };
    for (const wrong of [{ containerId: 'b' }, { ifname: 'net1' }, { sequence: taken.sequence + 1 }]) {
      assert.deepEqual(releaseSlot(taken.block, ip, { ...expected, ...wrong }, 6, DEL), {
        outcome: 'changed',
      });
    }
    const released = releaseSlot(taken.block, ip, expected, 6, DEL);
    assert.ok(released.outcome === 'released');
    assert.deepEqual(releaseSlot(released.block, ip, expected, 7, DEL), { outcome: 'free' });
    assert.deepEqual(releaseSlot(taken.block, parseAddress('10.99.0.1'), expected, 6, DEL), {
      outcome: 'free',
    });
  });

  test('an old release frees nothing of the next owner', () => {
    const before = take(first(), 'a', 5) ?? assert.fail();
    const ip = parseAddress(before.ip);
    const old = { containerId: 'a', ifname: 'eth0', sequence: before.sequence };
    const released = releaseSlot(before.block, ip, old, 6, DEL);
    assert.ok(released.outcome === 'released');
    const { block } = takeSlot(released.block, Number(ip.value & 15n), owner('a'), 100_000);
    assert.deepEqual(releaseSlot(block, ip, old, 100_001, DEL), { outcome: 'changed' });
  });

  test('a cooling address rests just as long as it should, and without cooldown not at all', () => {
    const taken = take(first(), 'a', 0) ?? assert.fail();
    const released = releaseSlot(
      taken.block,
      parseAddress(taken.ip),
      { containerId: 'a', ifname: 'eth0', sequence: taken.sequence },
      1000,
      DEL,
    );
    assert.ok(released.outcome === 'released');
    assert.equal(countSlots(released.block, 30_999, COOLDOWN).cooling, 1);
    assert.equal(nextRestedMs(released.block, 30_999, COOLDOWN), 1);
    assert.equal(countSlots(released.block, 31_000, COOLDOWN).cooling, 0);
    assert.equal(countSlots(released.block, 1000, 0).cooling, 0);
  });

  test('a clock that jumped back does not keep an address back for ever', () => {
    const taken = take(first(), 'a', 0) ?? assert.fail();
    const released = releaseSlot(
      taken.block,
      parseAddress(taken.ip),
      { containerId: 'a', ifname: 'eth0', sequence: taken.sequence },
      10 ** 12,
      DEL,
    );
    assert.ok(released.outcome === 'released');
    assert.equal(countSlots(released.block, 1000, COOLDOWN).cooling, 0);
    assert.equal(countSlots(released.block, 10 ** 12 - 1000, COOLDOWN).cooling, 1);
  });

  test('a slot that is given out or reserved cannot be taken', () => {
    assert.throws(() => takeSlot(first(), 0, owner('a'), 0), /reserved/);
    assert.throws(() => takeSlot(first(), 16, owner('a'), 0), /outside/);
    const taken = take(first(), 'a', 0) ?? assert.fail();
    assert.throws(() => takeSlot(taken.block, 2, owner('b'), 0), /used/);
  });

  test('validation finds what is wrong', () => {
    const block = first();
    assert.match(validateBlock({ ...block, range: 'red' }, blue).join(), /names range 'red'/);
    assert.match(validateBlock({ ...block, cidr: parseCidr('10.30.0.0/28') }, blue).join(), /outside range/);
    assert.match(validateBlock({ ...block, slots: block.slots.slice(1) }, blue).join(), /15 slots, not 16/);
    assert.match(
      validateBlock({ ...block, slots: block.slots.map(() => ({ state: 'free' as const })) }, blue).join(),
      /10\.20\.0\.0 is free/,
    );
    const two = takeSlot(takeSlot(block, 2, owner('a'), 0).block, 3, owner('a'), 0).block;
    assert.match(validateBlock(two, blue).join(), /one attachment has two/);
  });
});
