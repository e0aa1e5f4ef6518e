import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parseCidr } from '../../../ipam/model/address.ts';
import { newBlock, type Block, type Slot } from '../../../ipam/model/block.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { decodeBlock, encodeBlock } from '../../../ipam/records/block-record.ts';
import { blockKey } from '../../../ipam/records/keys.ts';
import { lazyBlock, outlineOf } from '../../../ipam/records/lazy-block.ts';
import { quickBlock } from '../../../ipam/records/quick-block.ts';
import { give, pod } from './pods.ts';
import { owner, range, World } from './world.ts';

const BLUE = range('10.20.0.0/22', { name: 'blue', gateway: '10.20.0.1' });
const KEY = blockKey('blue', parseCidr('10.20.0.16/28'));
const NOW = Date.UTC(2026, 0, 31);
const POD = { podNamespace: 'shop', podName: 'web-1', podUid: 'uid-1' };

const at = fc
  .date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })
  .map((date) => date.getTime());
const usual: fc.Arbitrary<Slot> = fc.oneof(
  fc.constant<Slot>({ state: 'free' }),
  fc.constant<Slot>({ state: 'reserved' }),
  fc.record({
    state: fc.constant('used' as const),
    owner: fc.constantFrom(owner('c1'), owner('c2', POD)),
    allocatedAt: at,
    sequence: fc.nat(),
  }),
  fc.record({ state: fc.constant('released' as const), releasedAt: at, sequence: fc.nat() }),
);
const unusual: fc.Arbitrary<Slot> = fc.oneof(
  fc.record({
    state: fc.constant('used' as const),
    owner: fc.constant(owner('c3', { podUid: 'uid-3' })),
    allocatedAt: at,
    sequence: fc.nat(),
  }),
  fc.record({
    state: fc.constant('released' as const),
    releasedAt: at,
    sequence: fc.nat(),
    conflictMac: fc.constant('02:00:00:00:00:01'),
  }),
);
const slot = fc.oneof({ arbitrary: usual, weight: 40 }, { arbitrary: unusual, weight: 1 });
const block: fc.Arbitrary<Block> = fc
  .record({ slots: fc.array(slot, { minLength: 16, maxLength: 16 }), claimedAt: at, sequence: fc.nat() })
  .map((fields) => ({ ...newBlock(BLUE, parseCidr('10.20.0.16/28'), 'node-1', 0), ...fields }));

/** Returns what decodeBlock returns, or undefined when it throws. */
function thorough(key: string, value: string): Block | undefined {
  try {
    return decodeBlock(key, value);
  } catch {
    return undefined;
  }
}

suite('the quick reading of a block', () => {
  test('is what the thorough one says, where it says anything', () => {
    fc.assert(
      fc.property(block, (each) => {
        const value = encodeBlock(each);
        const read = quickBlock(KEY, value);
        assert.deepEqual(read ?? thorough(KEY, value), thorough(KEY, value));
      }),
    );
    const full = newBlock(BLUE, parseCidr('10.20.0.16/28'), 'node-1', 0);
    const used: Slot = { state: 'used', owner: owner('c2', POD), allocatedAt: 5, sequence: 1 };
    assert.ok(
      quickBlock(KEY, encodeBlock({ ...full, slots: full.slots.map(() => used) })),
      'the usual form is read',
    );
  });

  test('the lazy one says the same, and what slots are before they are decoded', () => {
    fc.assert(
      fc.property(block, (each) => {
        const value = encodeBlock(each);
        const read = lazyBlock(KEY, value);
        if (!read) return;
        const slots = thorough(KEY, value)?.slots ?? [];
        assert.deepEqual(
          outlineOf(read),
          slots.map((slot) => (slot.state === 'used' ? { state: 'used' } : slot)),
        );
        assert.deepEqual({ ...read }, thorough(KEY, value));
        assert.equal(read.slots, read.slots, 'decoded once');
        assert.equal(outlineOf({ ...read, slots: [] }).length, 0, 'a copy with other slots is another block');
      }),
    );
    const full = newBlock(BLUE, parseCidr('10.20.0.16/28'), 'node-1', 0);
    const usual: Slot[] = [
      { state: 'used', owner: owner('c2', POD), allocatedAt: NOW, sequence: 1 },
      { state: 'used', owner: owner('c3'), allocatedAt: NOW, sequence: 2 },
      { state: 'released', releasedAt: NOW, sequence: 3 },
      { state: 'free' },
      { state: 'reserved' },
    ];
    for (let at = 0; at < 16; at++) {
      const slots = full.slots.map((_, i) => usual[(at + i) % usual.length] ?? { state: 'free' as const });
      assert.ok(lazyBlock(KEY, encodeBlock({ ...full, slots })), 'the usual form is read');
    }
  });

  test('the lazy one reads the text of an address that was just given', async () => {
    const world = new World();
    await addRange(world.ipam, BLUE);
    await give(world, 'node-1', pod('web-1'));
    const [entry] = [...world.store.entries.values()].filter(({ key }) => key.startsWith('blocks/'));
    assert.ok(entry && lazyBlock(entry.key, entry.value), entry?.value);
  });

  test('leap days, and days that do not exist', () => {
    const value = encodeBlock(newBlock(BLUE, parseCidr('10.20.0.16/28'), 'node-1', Date.UTC(2028, 1, 29)));
    assert.ok(lazyBlock(KEY, value));
    for (const [day, isRead] of [
      ['2024-02-29', true],
      ['2000-02-29', false],
      ['2026-02-29', false],
      ['2026-02-30', false],
      ['2026-04-31', false],
      ['2026-12-31', true],
      ['2026-13-01', false],
      ['2026-00-01', false],
      ['2026-01-00', false],
      ['1969-12-31', false],
      ['1970-01-01', true],
      ['2100-02-29', false],
    ] as const) {
      const text = value.replace('2028-02-29', day);
      assert.equal(lazyBlock(KEY, text) !== undefined, isRead, day);
      assert.equal(quickBlock(KEY, text) !== undefined, isRead, day);
      if (isRead) assert.deepEqual({ ...lazyBlock(KEY, text) }, thorough(KEY, text));
    }
  });

  test('never reads what the thorough one refuses', () => {
    const junk = fc.constantFrom<unknown>(
      null,
      '',
      'x',
      0,
      -1,
      1.5,
      true,
      [],
      {},
      '2026-13-01T00:00:00.000Z',
      '2026-01-01T24:00:00.000Z',
      '2026-02-30T00:00:00.000Z',
      '0999-01-01T00:00:00.000Z',
      1e300,
      2 ** 53,
      '../x',
    );
    fc.assert(
      fc.property(block, fc.nat(), junk, fc.boolean(), (each, place, value, added) => {
        const record = JSON.parse(encodeBlock(each)) as unknown;
        const paths = objectsIn(record).flatMap((object) => [
          ...Object.keys(object).map((key) => [object, key] as const),
          [object, 'more'] as const,
        ]);
        const [object, key] = paths[place % paths.length] ?? [{}, ''];
        if (added) object[key] = value;
        else Reflect.deleteProperty(object, key);
        const text = JSON.stringify(record);
        for (const read of [quickBlock(KEY, text), lazyBlock(KEY, text)])
          if (read) assert.deepEqual({ ...read }, thorough(KEY, text), text);
      }),
      { numRuns: 1_000 },
    );
  });

  test('knows its key, and what is no JSON', () => {
    const value = encodeBlock(newBlock(BLUE, parseCidr('10.20.0.16/28'), 'node-1', 0));
    assert.ok(quickBlock(KEY, value));
    for (const [key, text] of [
      [blockKey('blue', parseCidr('10.20.0.32/28')), value],
      [KEY, 'x'],
      [KEY, '[]'],
      [KEY, 'null'],
    ] as const)
      assert.equal(quickBlock(key, text), undefined);
  });
});

/** Returns every object in a JSON value, the value itself included. */
function objectsIn(value: unknown): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return [];
  const inside = Object.values(value).flatMap(objectsIn);
  return Array.isArray(value) ? inside : [value as Record<string, unknown>, ...inside];
}
