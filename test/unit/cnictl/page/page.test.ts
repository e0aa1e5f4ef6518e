import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { boxOf, gridHeight, gridOf, indexAt, moved, visible } from '../../../../cnictl/page/grid.ts';
import { addressIn, indexIn } from '../../../../cnictl/page/ip.ts';
import { above, formatPlace, parsePlace } from '../../../../cnictl/page/location.ts';
import { STATES, type RangeInfo } from '../../../../cnictl/page/model.ts';
import { ordered, severityOf } from '../../../../cnictl/page/order.ts';
import { countText, fullText, numberText, percentText, spanText } from '../../../../cnictl/page/time.ts';
import { CELL_LETTERS } from '../../../../ipam/map/cells.ts';
import { formatAddress, formatCidr, offsetAddress, subnetOf } from '../../../../ipam/model/address.ts';

const info = (name: string, free: number, more: Partial<RangeInfo> = {}): RangeInfo => ({
  ...{
    name,
    cidr: '10.20.0.0/24',
    gateway: null,
    vlan: null,
    state: 'active',
    namedOnly: false,
    blockSize: 16,
  },
  ...{ capacity: 100, blocks: { total: 16, claimed: 4 }, holders: 2, strip: '' },
  counts: { free, used: 100 - free, cooling: 0, kept: 0, reserved: 3, conflict: 0, unknown: 0 },
  ...more,
});

suite('the page', () => {
  test('it is as dark by the choice of the system as by that of its user', () => {
    const css = readFileSync(join(import.meta.dirname, '../../../../cnictl/page/page.css'), 'utf8');
    // CSS has no way to say both in one rule.
    const blocks = [
      ...css.matchAll(/:root(?:\[data-theme='dark'\]|:not\(\[data-theme='light'\]\)) \{([^}]*--bg[^}]*)\}/g),
    ];
    const [bySystem, byUser, ...more] = blocks.map(([, text = '']) => text.trim().split(/;\s*/));
    assert.ok(bySystem && bySystem.length > 15, 'the colours of the dark page');
    assert.deepEqual([byUser, more], [bySystem, []]);
  });

  test('a place is what its link says, whatever it names', () => {
    const text = fc.string({ minLength: 1, maxLength: 12 });
    const place = fc.oneof(
      fc.constant({ view: 'overview' as const }),
      text.map((range) => ({ view: 'range' as const, range })),
      text.map((range) => ({ view: 'range' as const, range, block: '10.20.0.16/28' })),
      text.map((range) => ({ view: 'range' as const, range, ip: 'fd00::1', at: '2026-01-31T03:15:00Z' })),
      text.map((each) => ({ view: 'search' as const, text: each })),
      fc.constant({ view: 'address' as const, ip: '10.20.0.17' }),
    );
    fc.assert(fc.property(place, (each) => assert.deepEqual(parsePlace(formatPlace(each)), each)));
    assert.deepEqual(parsePlace('#10.20.0.17'), { view: 'address', ip: '10.20.0.17' });
    assert.deepEqual(parsePlace('#/nonsense/%E0'), { view: 'overview' });
    assert.deepEqual(above(parsePlace('#/ranges/blue/10.20.0.17')), { view: 'range', range: 'blue' });
    assert.deepEqual(above({ view: 'range', range: 'blue' }), { view: 'overview' });
  });

  test('each box is found where it lies, and keys lead to the next', () => {
    const options = fc.record({
      ...{ count: fc.integer({ min: 1, max: 700 }), width: fc.integer({ min: 50, max: 3_000 }) },
      ...{
        minWidth: fc.constant(232),
        boxHeight: fc.constant(74),
        gap: fc.constant(8),
        isDown: fc.boolean(),
      },
    });
    fc.assert(
      fc.property(options, fc.nat(), (each, n) => {
        const grid = gridOf(each);
        const index = n % each.count;
        const { x, y, width, height } = boxOf(grid, index);
        assert.equal(indexAt(grid, x + width / 2, y + height / 2), index);
        assert.equal(indexAt(grid, x + width + 4, y + 1), undefined);
        assert.ok(y + height <= gridHeight(grid));
        assert.ok(visible(grid, y, y + height).includes(index));
        for (const key of [
          'ArrowUp',
          'ArrowDown',
          'ArrowLeft',
          'ArrowRight',
          'PageUp',
          'PageDown',
          'Home',
          'End',
        ]) {
          const next = moved(grid, index, key, 3);
          assert.ok(next !== undefined && next >= 0 && next < each.count, key);
        }
        assert.equal(moved(grid, index, 'a', 3), undefined);
      }),
    );
    assert.equal(
      visible(gridOf({ count: 550, width: 1_400, minWidth: 232, boxHeight: 74, gap: 8 }), 0, 800).length,
      50,
    );
  });

  test('addresses of a block are those that the server counts', () => {
    const of = (family: 4 | 6, length: number) =>
      fc
        .tuple(
          fc.bigInt({ min: 0n, max: family === 4 ? 2n ** 32n - 1n : 2n ** 128n - 1n }),
          fc.nat({ max: 15 }),
        )
        .map(([value, index]) => ({ cidr: subnetOf({ family, value }, length), index }));
    fc.assert(
      fc.property(fc.oneof(of(4, 28), of(6, 124)), ({ cidr, index }) => {
        const ip = formatAddress(offsetAddress(cidr.base, BigInt(index)));
        assert.equal(addressIn(formatCidr(cidr), index), ip);
        assert.equal(indexIn(formatCidr(cidr), ip), index);
      }),
    );
    assert.equal(indexIn('10.20.0.16/28', '10.20.0.32'), -1);
    assert.equal(indexIn('10.20.0.16/28', 'fd00::1'), -1);
  });

  test('letters are those of the terminal, and each state has a colour in light and dark', () => {
    for (const { state, letter } of STATES) assert.equal(letter, CELL_LETTERS[state]);
    assert.equal(STATES.length, Object.keys(CELL_LETTERS).length);
    const css = readFileSync(new URL('../../../../cnictl/page/page.css', import.meta.url), 'utf8');
    for (const { state } of STATES)
      assert.equal(css.match(new RegExp(`--cell-${state}: #[0-9a-f]{6};`, 'g'))?.length, 3, state);
    const blocks = [...css.matchAll(/\{([^{}]*--cell-used[^{}]*)\}/g)].map(([, text = '']) =>
      text.replaceAll(/\s+/g, ' '),
    );
    assert.equal(blocks[1], blocks[2], 'dark by the system and dark by choice are one');
  });

  test('ranges in the order that was chosen', () => {
    const conflict = { ...info('c', 50).counts, conflict: 1 };
    const full = { full: { of: 'addresses', at: '2026-02-01T00:00:00Z' } };
    const ranges = [
      info('b-10', 60),
      info('b-2', 10),
      info('c', 50, { counts: conflict }),
      info('d', 90, { forecast: full }),
    ];
    const names = (order: Parameters<typeof ordered>[1]): string =>
      ordered(ranges, order)
        .map(({ name }) => name)
        .join(' ');
    assert.equal(names('name'), 'b-2 b-10 c d');
    assert.equal(names('fullest'), 'b-2 c b-10 d');
    assert.equal(names('trouble'), 'c b-2 b-10 d');
    assert.equal(names('until-full'), 'd b-2 b-10 c');
    assert.deepEqual([info('a', 4), info('a', 12), info('a', 40)].map(severityOf), [
      'bad',
      'warn',
      undefined,
    ]);
    assert.equal(severityOf(info('a', 0, { state: 'draining' })), undefined);
  });

  test('times, numbers and parts are short, and round nothing away', () => {
    assert.deepEqual([0, 5_000, 62_000, 3_600_000, 97 * 3_600_000].map(spanText), [
      '0 s',
      '5 s',
      '1 min 2 s',
      '1 h',
      '4 d 1 h',
    ]);
    assert.deepEqual(
      [0, 1, 500, 999, 1_000].map((part) => percentText(part, 1_000)),
      ['0 %', '<1 %', '50 %', '>99 %', '100 %'],
    );
    assert.deepEqual([countText(1, 'range'), countText(1_024, 'range')], ['1 range', '1 024 ranges']);
    assert.deepEqual([999, 563_200].map(numberText), ['999', '563 200']);
    const at = (iso: string | null) =>
      fullText({ full: iso === null ? null : { of: 'blocks', at: iso } }, Date.parse('2026-01-01T00:00:00Z'));
    assert.deepEqual(
      [
        at('2026-01-13T05:00:00Z'),
        at('2026-01-01T05:00:00Z'),
        at('2025-12-01T00:00:00Z'),
        at(null),
        fullText(undefined, 0),
      ],
      ['blocks full in 12 d', 'blocks full in 5 h', 'blocks full now', undefined, undefined],
    );
  });
});
