import type { Family } from '../connectivity/facts.ts';
import type { Topology } from '../connectivity/plan.ts';
import type { Row } from '../connectivity/results.ts';
import { painted } from '../render/cell.ts';
import type { Paint } from '../render/paint.ts';
import { printable } from '../render/printable.ts';
import { renderFields, renderTable } from '../render/table.ts';

export interface ConnectivityReport {
  readonly namespace: string;
  readonly image: string;
  readonly topology: Topology;
  readonly families: readonly Family[];
  readonly rows: readonly Row[];
}

const countOf = ({ rows }: ConnectivityReport): Record<Row['result'], number> => {
  const count = (result: Row['result']): number => rows.filter((row) => row.result === result).length;
  return { ok: count('ok'), failed: count('failed'), skipped: count('skipped') };
};

const nodesOf = ({ topology: { a, b, isOneNode } }: ConnectivityReport): Topology['a'][] =>
  isOneNode ? [a] : [a, b];

export const connectivityJson = (report: ConnectivityReport): object => ({
  namespace: report.namespace,
  image: report.image,
  nodes: nodesOf(report),
  families: report.families.map((family) => `ipv${family}`),
  counts: countOf(report),
  checks: report.rows.map(({ result, name, ...rest }) => ({ result, check: name, ...rest })),
});

/** One line for each check, and below a failed one what was expected, seen, and what to do. */
export function renderConnectivity(report: ConnectivityReport, paint: Paint): string {
  const colour = { ok: paint.green, failed: paint.red, skipped: paint.yellow };
  const lines = report.rows.flatMap((row) => [
    { result: colour[row.result](row.result), name: row.name, detail: printable(detailOf(row)) },
    ...furtherLines(row).map((text) => ({ result: '', name: '', detail: paint.dim(printable(text)) })),
  ]);
  const table = renderTable<(typeof lines)[number]>(
    [
      { title: 'RESULT', value: ({ result }) => painted(result) },
      { title: 'CHECK', value: ({ name }) => name },
      { title: 'DETAIL', value: ({ detail }) => painted(detail) },
    ],
    lines,
    paint,
  );
  const nodes = nodesOf(report)
    .map(({ name }) => name)
    .join(', ');
  const head = renderFields(
    [
      [report.topology.isOneNode ? 'Node' : 'Nodes', nodes],
      ['Image', report.image],
    ],
    paint,
  );
  const { ok, failed, skipped } = countOf(report);
  return `${head}\n${table}${ok} ok, ${failed} failed, ${skipped} skipped\n`;
}

function detailOf({ result, from, reason, seen }: Row): string {
  if (result === 'skipped') return reason ?? '';
  return result === 'ok' ? `${shortOf(from)}: ${seen ?? ''}` : `from ${from ?? ''}`;
}

/** The pod alone, without its addresses. */
const shortOf = (from = ''): string => from.replace(/ \(.*/, '');

const furtherLines = ({ result, to, expected, seen, advice }: Row): string[] =>
  result === 'failed'
    ? [`to ${to ?? ''}`, `expected: ${expected ?? ''}`, `seen: ${seen ?? ''}`, `→ ${advice ?? ''}`]
    : [];
