import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plotSvg, ticksUpTo } from '../bench/plot.ts';
import { formatSaved, parseSaved, type SavedSingle } from '../bench/saved.ts';
import { hold } from './hold.ts';

const series = (base: number): number[] => Array.from({ length: 20 }, (_, n) => base + n / 4);
const SAVED: SavedSingle = {
  v: 1,
  at: '2026-11-30T12:00:00.000Z',
  versions: { cellnet: '0.2.0', node: '20.20.2' },
  processors: 2,
  contenders: [
    { name: 'cellnet, agent', add: series(20), del: series(12) },
    { name: 'cellnet, no <agent>', add: series(190), del: series(170) },
    { name: 'bridge + host-local', add: series(60), del: series(50) },
  ],
  bare: series(100),
};

test('the plot of a saved benchmark', () => {
  const svg = plotSvg(SAVED);
  hold('bench.svg', svg);
  // The bar of a median is as long as its value: half the value, half the bar.
  const widths = [...svg.matchAll(/<rect [^>]* width="([\d.]+)"/g)].map(([, width]) => Number(width));
  const medians = (['add', 'del'] as const).flatMap((verb) =>
    [SAVED.contenders[0], SAVED.contenders[2]].map((each) => (each?.[verb][0] ?? 0) + 2.375),
  );
  assert.equal(widths.length, 4);
  for (const [n, width] of widths.entries())
    assert.ok(Math.abs(width / (widths[0] ?? 1) - (medians[n] ?? 0) / (medians[0] ?? 1)) < 0.01, `${n}`);
  assert.match(svg, />0<\/text>/, 'the axis does not begin at zero');
});

test('the axis ends at a round value that is not below the largest', () => {
  assert.deepEqual(ticksUpTo(7), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(ticksUpTo(195), [0, 50, 100, 150, 200]);
  assert.equal(ticksUpTo(0.31).at(-1), 0.35);
});

test('a saved benchmark is read as it was written; another file is refused by what is wrong', () => {
  assert.deepEqual(parseSaved(formatSaved(SAVED), 'f'), {
    ...SAVED,
    contenders: JSON.parse(JSON.stringify(SAVED.contenders)) as unknown,
  });
  assert.throws(
    () => parseSaved('{}', 'f.json'),
    /^Error: f\.json is no result of npm run bench -- single --save: v/,
  );
  assert.throws(() => parseSaved('no', 'f.json'), /f\.json is no result/);
});
