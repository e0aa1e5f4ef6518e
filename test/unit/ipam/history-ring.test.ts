import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { returnIdle } from '../../../ipam/allocate/warm-blocks.ts';
import { formatAddress, formatCidr, parseAddress, parseCidr } from '../../../ipam/model/address.ts';
import { releaseCount } from '../../../ipam/model/block-counts.ts';
import { newBlock, releaseSlot, takeSlot } from '../../../ipam/model/block.ts';
import { blockAt } from '../../../ipam/model/range.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import {
  decodeLifetime,
  firstSequence,
  historyKeys,
  KEPT_PER_ADDRESS,
} from '../../../ipam/records/history-record.ts';
import { release } from '../../../ipam/release/release.ts';
import { BLUE, attachment, historyOf } from './history-world.ts';
import { DEL, owner, range, World } from './world.ts';

suite('the ring of a block', () => {
  test('its place follows from the number of releases, however takes and releases mix', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(15), { maxLength: 200 }), (picks) => {
        let block = newBlock(BLUE, parseCidr('10.20.0.16/28'), 'n', 0);
        let releases = 0;
        for (const index of picks) {
          const slot = block.slots[index] ?? assert.fail();
          if (slot.state !== 'used') {
            block = takeSlot(block, index, owner(`c${index}`), 0).block;
            continue;
          }
          const expected = { ...attachment(`c${index}`), sequence: slot.sequence };
          const result = releaseSlot(block, parseAddress(`10.20.0.${16 + index}`), expected, 1, DEL);
          assert.ok(result.outcome === 'released');
          block = result.block;
          releases++;
        }
        assert.equal(releaseCount(block), releases);
      }),
    );
  });

  test('never exceeds its bound, and keeps the newest, also of a block that is given back and claimed by another', async () => {
    const steps = fc.array(
      fc.record({
        node: fc.constantFrom('n1', 'n2'),
        act: fc.constantFrom('give', 'give', 'free', 'free', 'return'),
        id: fc.nat(4),
      }),
      { minLength: 40, maxLength: 120 },
    );
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1 }), async (all, seed) => {
        const world = new World(seed);
        // Two blocks of four slots: six usable addresses, and rings of eight entries.
        await addRange(world.ipam, range('10.20.0.0/29', { name: 'blue', cooldownMs: 0, blockSize: 4 }));
        const model = new Map<string, string[]>();
        for (const { node, act, id } of all) {
          world.now += 1_000;
          const containerId = `${node}-${id}`;
          if (act === 'give') {
            await allocate(world.ipam, { node, owner: owner(containerId), families: [4] }).catch(
              () => undefined,
            );
          } else if (act === 'free') {
            const freed = await release(world.ipam, {
              node,
              attachment: attachment(containerId),
              cause: DEL,
            });
            for (const ip of freed) {
              const block = formatCidr(blockAt(range('10.20.0.0/29', { blockSize: 4 }), parseAddress(ip)));
              model.set(block, [...(model.get(block) ?? []), `${ip} ${containerId} ${world.now}`]);
            }
          } else {
            const { idle } = await returnIdle(world.ipam, node, new Set());
            await returnIdle(world.ipam, node, idle);
          }
          checkRings(world, model);
        }
      }),
      { numRuns: 30 },
    );
  });

  /** Asserts that the ring of each block holds the latest releases. */
  function checkRings(world: World, model: ReadonlyMap<string, readonly string[]>): void {
    const blue = range('10.20.0.0/29', { name: 'blue', blockSize: 4 });
    const kept = new Map<string, string[]>();
    for (const [key, value] of historyOf(world)) {
      const { address, owner: who, releasedAt } = decodeLifetime(blue, key, value);
      const block = formatCidr(blockAt(blue, address));
      kept.set(block, [
        ...(kept.get(block) ?? []),
        `${formatAddress(address)} ${who.containerId} ${releasedAt}`,
      ]);
    }
    for (const [block, lifetimes] of model) {
      const newest = lifetimes.slice(-4 * KEPT_PER_ADDRESS);
      assert.deepEqual(kept.get(block)?.sort(), [...newest].sort());
    }
    assert.equal(kept.size, model.size);
  }

  test('goes on after its newest entry when the block is claimed again, also after several of one transaction', () => {
    const block = parseCidr('10.20.0.16/28');
    const keys = historyKeys(BLUE, block);
    const entry = (place: number, revision: number): { key: string; value: string; revision: string } => ({
      key: keys[place] ?? assert.fail(),
      value: '',
      revision: `${revision}`,
    });
    const n = keys.length;
    assert.equal(firstSequence(BLUE, []), 0);
    assert.equal(firstSequence(BLUE, [entry(0, 5), entry(1, 9), entry(2, 7)]), 4);
    assert.equal(firstSequence(BLUE, [entry(n - 2, 8), entry(n - 1, 9), entry(0, 9), entry(1, 7)]), 2);
    assert.equal(firstSequence(BLUE, [entry(n - 1, 9)]), 2 * n);
    assert.equal(
      firstSequence(
        BLUE,
        keys.map((_, i) => entry(i, 9)),
      ),
      0,
    );
  });
});
