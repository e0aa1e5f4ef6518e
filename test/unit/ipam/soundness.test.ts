import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCidr } from '../../../ipam/model/address.ts';
import { blockInspector } from '../../../ipam/model/block-inspector.ts';
import { newBlock, type Block, type Slot } from '../../../ipam/model/block.ts';
import { blockAt } from '../../../ipam/model/range.ts';
import { validateBlock } from '../../../ipam/model/validate-block.ts';
import { owner, range } from './world.ts';

const BLUE = range('10.20.0.0/24', {
  name: 'blue',
  gateway: '10.20.0.1',
  exclude: ['10.20.0.12-10.20.0.20'],
});
const SIX = range('fd00:20::/112', { name: 'six', gateway: 'fd00:20::1', blockSize: 4 });

const slot: fc.Arbitrary<Slot> = fc.oneof(
  fc.constant<Slot>({ state: 'free' }),
  fc.constant<Slot>({ state: 'reserved' }),
  fc.record({
    state: fc.constant('used' as const),
    owner: fc.integer({ min: 0, max: 30 }).map((n) => owner(`c${n}`)),
    allocatedAt: fc.nat(),
    sequence: fc.integer({ min: 0, max: 30 }),
  }),
  fc.record({
    state: fc.constant('released' as const),
    releasedAt: fc.nat(),
    sequence: fc.integer({ min: 0, max: 30 }),
  }),
);

/** Generates new blocks in which some slots or fields, or none, are changed. */
const block = (of: typeof BLUE, cidrs: readonly string[]): fc.Arbitrary<Block> =>
  fc
    .record({
      cidr: fc.constantFrom(...cidrs),
      node: fc.constantFrom('node-1', ''),
      name: fc.constantFrom(of.name, 'other'),
      sequence: fc.integer({ min: 20, max: 30 }),
      changes: fc.array(fc.tuple(fc.nat(of.blockSize - 1), slot), { maxLength: 3 }),
      cut: fc.constantFrom(0, 0, 0, 1),
    })
    .map(({ cidr, node, name, sequence, changes, cut }) => {
      const base = newBlock(of, parseCidr(cidr), node, 0);
      const slots = changes.reduce((all, [i, each]) => all.with(i, each), [...base.slots]);
      return { ...base, range: name, sequence, slots: slots.slice(cut) };
    });

test('the quick look at a block says what the thorough one says', () => {
  const cidrs = {
    blue: [
      '10.20.0.0/28',
      '10.20.0.16/28',
      '10.20.0.240/28',
      '10.20.0.32/27',
      '10.21.0.0/28',
      'fd00:20::/124',
    ],
    six: ['fd00:20::/126', 'fd00:20::fffc/126', 'fd00:21::/126'],
  };
  for (const [of, arbitrary] of [
    [BLUE, block(BLUE, cidrs.blue)],
    [SIX, block(SIX, cidrs.six)],
  ] as const) {
    const inspect = blockInspector(of);
    fc.assert(
      fc.property(arbitrary, (each) => {
        assert.deepEqual(inspect(each), validateBlock(each, of));
      }),
      { numRuns: 400 },
    );
    assert.deepEqual(inspect(newBlock(of, blockAt(of, of.cidr.base), 'node-1', 0)), []);
  }
});
