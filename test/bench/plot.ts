/** Draws a saved run of `single` as an SVG: the axis begins at zero, and the spread is shown. */
import { median, percentile } from './figures.ts';
import type { SavedSingle } from './saved.ts';

const WIDTH = 760;
/** Where names end and bars begin. */
const LEFT = 190;
/** Room for the figures behind the longest whisker. */
const RIGHT = 150;
const TOP = 56;
const ROW = 26;
const BAR = 16;
/** Between ADD and DEL. */
const GAP = 34;
const BOTTOM = 94;
const MOST_TICKS = 8;

/** Colours that can be told apart on both backgrounds, also without red or green. */
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 17px; font-weight: 600 }
  .verb { font-weight: 600 }
  .quiet { fill: #59636e; font-size: 12px }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .ours { fill: #0969da }
  .theirs { fill: #9a6700 }
  .spread { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .ours { fill: #4493f8 }
    .theirs { fill: #d29922 }
    .spread { stroke: #e6edf3 }
    }`;

const VERBS = ['add', 'del'] as const;

/** Returns round values from 0 to the first that is not below the largest. */
export function ticksUpTo(largest: number): number[] {
  const rough = largest / MOST_TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((each) => each * power >= rough) ?? 10) * power;
  const count = Math.ceil(largest / step);
  return Array.from({ length: count + 1 }, (_, n) => Number((n * step).toPrecision(12)));
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

interface Row {
  readonly y: number;
  readonly verb: string;
  readonly name: string;
  readonly style: string;
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** Returns the bars: of cellnet with its agent, and of what it is measured beside. */
function rowsOf({ contenders }: SavedSingle): Row[] {
  const drawn = [contenders.at(0), contenders.at(-1)].filter((each) => each !== undefined);
  return VERBS.flatMap((verb, group) =>
    drawn.map((each, n) => ({
      y: TOP + group * (drawn.length * ROW + GAP) + n * ROW,
      verb: verb.toUpperCase(),
      name: each.name,
      style: n === 0 ? 'ours' : 'theirs',
      median: median(each[verb]),
      low: percentile(each[verb], 5),
      high: percentile(each[verb], 95),
    })),
  );
}

const ms = (value: number): string => `${value.toFixed(1)} ms`;

/** Returns the drawing's text for those who do not see it. */
const described = (rows: readonly Row[]): string =>
  rows
    .map(
      ({ verb, name, median, low, high }) =>
        `${verb}, ${name}: ${ms(median)} (${low.toFixed(1)} to ${high.toFixed(1)})`,
    )
    .join('; ');

/** Says what the bars leave out: their axis would make all others short. */
const leftOut = ({ contenders, bare }: SavedSingle): string[] => [
  ...contenders
    .slice(1, -1)
    .map(({ name, add, del }) => `${name}: ADD ${ms(median(add))}, DEL ${ms(median(del))}.`),
  `To start Node alone: ${ms(median(bare))}.`,
];

export function plotSvg(saved: SavedSingle): string {
  const rows = rowsOf(saved);
  const ticks = ticksUpTo(Math.max(...rows.map(({ high }) => high)));
  const scale = (WIDTH - LEFT - RIGHT) / (ticks.at(-1) ?? 1);
  const x = (value: number): string => (LEFT + value * scale).toFixed(1);
  const end = (rows.at(-1)?.y ?? TOP) + ROW;
  const height = end + BOTTOM;
  const rounds = saved.contenders[0]?.add.length ?? 0;
  const grid = ticks.map(
    (tick) =>
      `<line class="grid" x1="${x(tick)}" x2="${x(tick)}" y1="${TOP - 8}" y2="${end}"/><text class="quiet" x="${x(tick)}" y="${end + 16}" text-anchor="middle">${tick}</text>`,
  );
  const bars = rows.flatMap((row, n) => [
    ...(rows[n - 1]?.verb === row.verb
      ? []
      : [`<text class="verb" x="16" y="${row.y + 13}">${row.verb}</text>`]),
    `<text x="${LEFT - 10}" y="${row.y + 13}" text-anchor="end">${escaped(row.name)}</text>`,
    `<rect class="${row.style}" x="${LEFT}" y="${row.y}" width="${(row.median * scale).toFixed(1)}" height="${BAR}"/>`,
    `<path class="spread" fill="none" d="M${x(row.low)} ${row.y + BAR / 2}H${x(row.high)}M${x(row.low)} ${row.y + 4}v8M${x(row.high)} ${row.y + 4}v8"/>`,
    `<text x="${(LEFT + Math.max(row.high, row.median) * scale + 8).toFixed(1)}" y="${row.y + 13}">${ms(row.median)}</text>`,
  ]);
  const title = 'One pod at a time: how long the plugin takes';
  const how = `Bars: medians of ${rounds} rounds in turn, in ms, whole processes; lines: 5 to 95 of 100.`;
  const others = leftOut(saved).join(' ');
  const where = `cellnet ${saved.versions.cellnet}, Node ${saved.versions.node}, ${saved.processors} processors, userspace datapath, ${saved.at.slice(0, 10)}. npm run bench -- single`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title desc">
<title id="title">${title}</title>
<desc id="desc">${escaped(described(rows))}</desc>
<style>${STYLE}
</style>
<text class="title" x="16" y="28">${title}</text>
${[...grid, ...bars].join('\n')}
<text class="quiet" x="16" y="${end + 42}">${escaped(how)}</text>
<text class="quiet" x="16" y="${end + 60}">${escaped(others)}</text>
<text class="quiet" x="16" y="${end + 78}">${escaped(where)}</text>
</svg>
`;
}
