import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { occupiedBy } from '../../../ipam/allocate/occupied.ts';
import {
  cidrSpan,
  formatCidr,
  parseAddress,
  parseCidr,
  spansOverlap,
  subnetOf,
  type Span,
} from '../../../ipam/model/address.ts';
import {
  blockAt,
  capacityWithin,
  isReserved,
  pickBlock,
  rangeCapacity,
  type Range,
} from '../../../ipam/model/range.ts';
import { cidrOfBlockKey } from '../../../ipam/records/keys.ts';
import { range } from './world.ts';

const FOUR = range('10.20.0.0/24', { name: 'blue', gateway: '10.20.0.1' });
const SIX = range('fd00:20::/120', { name: 'blue', blockSize: 8 });

/** A subnet anywhere in or around the range, as a key of a block. */
const anyKey = (of: Range): fc.Arbitrary<string> => {
  const { base } = of.cidr;
  const bits = base.family === 4 ? 32 : 128;
  return fc
    .record({ offset: fc.integer({ min: -64, max: 320 }), hostBits: fc.integer({ min: 0, max: 9 }) })
    .map(({ offset, hostBits }) => {
      const address = { ...base, value: base.value + BigInt(offset) };
      return `blocks/blue/${formatCidr(subnetOf(address, bits - hostBits))}`;
    });
};

const blocksOf = (of: Range): { readonly text: string; readonly span: Span }[] =>
  Array.from({ length: 256 / of.blockSize }, (_, i) => {
    const cidr = blockAt(of, { ...of.cidr.base, value: of.cidr.base.value + BigInt(i * of.blockSize) });
    return { text: formatCidr(cidr), span: cidrSpan(cidr) };
  });

suite('what block keys occupy', () => {
  for (const of of [FOUR, SIX]) {
    test(`of ${formatCidr(of.cidr)}: exactly the blocks that no key touches are picked`, () => {
      const all = blocksOf(of);
      const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
      fc.assert(
        fc.property(fc.array(anyKey(of), { maxLength: 12 }), random, (keys, place) => {
          const { blocks, covered } = occupiedBy(of, keys);
          const picked = new Set<string>();
          for (;;) {
            const block = pickBlock(of, new Set([...blocks, ...picked]), place, covered);
            if (!block) break;
            picked.add(formatCidr(block));
          }
          const spans = keys.flatMap((key) => {
            const cidr = cidrOfBlockKey(key);
            return cidr ? [cidrSpan(cidr)] : [];
          });
          const free = all.filter(({ span }) => !spans.some((each) => spansOverlap(each, span)));
          assert.deepEqual([...picked].sort(), free.map(({ text }) => text).sort());
        }),
      );
    });
  }

  test('a key of no subnet occupies nothing; one with host bits bars the block around it', () => {
    const none = occupiedBy(FOUR, ['blocks/blue/notes', 'blocks/blue/', 'blocks/blue/fd00::/124']);
    assert.deepEqual([none.blocks.size, none.covered.length], [0, 0]);
    const key = 'blocks/blue/10.20.0.24/28';
    assert.deepEqual(occupiedBy(FOUR, [key]).covered, [{ key, ...cidrSpan(parseCidr('10.20.0.16/28')) }]);
    assert.deepEqual([...occupiedBy(SIX, ['blocks/blue/fd00:20::/125']).blocks], ['fd00:20::/125']);
  });
});

test('the capacity within a span is what pods can have of it', () => {
  fc.assert(
    fc.property(fc.nat(300), fc.nat(300), (from, size) => {
      const base = parseAddress('10.19.255.240').value;
      const at = (n: number): { family: 4; value: bigint } => ({ family: 4, value: base + BigInt(n) });
      const inside = Array.from({ length: size + 1 }, (_, i) => at(from + i)).filter(
        (address) =>
          spansOverlap(cidrSpan(FOUR.cidr), { first: address, last: address }) && !isReserved(FOUR, address),
      );
      assert.equal(capacityWithin(FOUR, { first: at(from), last: at(from + size) }), inside.length);
    }),
  );
  assert.equal(capacityWithin(FOUR, cidrSpan(FOUR.cidr)), rangeCapacity(FOUR));
});
