import type { Context } from '../context/context.ts';
import { gatherOverview } from '../overview/gather.ts';
import { reportOf, type NodeOverview } from '../overview/nodes.ts';
import { NODE_WARNINGS } from '../overview/warning.ts';
import { renderBar } from '../render/bar.ts';
import { painted, type Cell } from '../render/cell.ts';
import { printable } from '../render/printable.ts';
import type { Column } from '../render/table.ts';
import { agentCell, aliveText, nameJson, seenText } from './node-name.ts';
import type { ListOptions } from './list.ts';
import { showList } from './show-list.ts';

/** `node list` */
export async function nodeList(context: Context, options: ListOptions = {}): Promise<number> {
  return await showList<NodeOverview>(context, options, {
    gather: async () => {
      const { nodes, cluster, unreadable } = await gatherOverview(context);
      const notes = cluster.problem === null ? [] : [`the API server's word is missing: ${cluster.problem}`];
      const none = (): string =>
        unreadable.length > 0 ? 'No block can be read.\n' : 'No node holds a block yet.\n';
      return { rows: nodes, unreadable, notes, none };
    },
    columns: () => columnsOf(context),
    json: overviewJson,
    name: ({ name }) => name,
    compared: withoutReport,
  });
}

/** What an agent reports changes with each report. */
function withoutReport({ view, ...node }: NodeOverview): object {
  const report = reportOf(view);
  const agent = { alive: view?.alive?.record.bootId, version: report?.version, healthy: report?.healthy };
  return { ...node, agent, machine: view?.owner?.record.machine?.id };
}

function columnsOf({ paint, world }: Context): Column<NodeOverview>[] {
  const now = world.now();
  const calls = ({ view }: NodeOverview): string => {
    const report = reportOf(view);
    return report ? `${report.calls.served}` : '-';
  };
  return [
    { title: 'NODE', value: ({ name }) => name },
    { title: 'STATE', value: ({ state }) => (state === 'active' ? state : painted(paint.yellow(state))) },
    { title: 'AGENT', value: ({ view }) => agentCell(view, now, paint) },
    { title: 'SEEN', value: ({ view }) => seenText(view, now) },
    { title: 'READY', value: ({ cluster }) => readyText(cluster) },
    { title: 'BLOCKS', value: ({ blocks }) => `${blocks}`, right: true },
    { title: 'USED', value: ({ allocated, capacity }) => `${allocated}/${capacity}`, right: true },
    { title: 'COOLING', value: ({ cooling }) => `${cooling}`, right: true, wide: true },
    {
      title: 'UTILISATION',
      value: ({ allocated, capacity }) => painted(renderBar(allocated, capacity, paint)),
      wide: true,
    },
    { title: 'ATTACHMENTS', value: ({ attachments }) => `${attachments}`, right: true, wide: true },
    { title: 'CALLS', value: calls, right: true, wide: true },
    {
      title: 'FAILED',
      value: ({ view }) => `${reportOf(view)?.calls.failed ?? '-'}`,
      right: true,
      wide: true,
    },
    { title: 'PENDING', value: ({ view }) => `${reportOf(view)?.pending ?? '-'}`, right: true, wide: true },
    { title: 'CONDEMNED', value: ({ condemned }) => `${condemned}`, right: true, wide: true },
    { title: 'RANGES', value: ({ ranges }) => ranges.join(', ') || '-', wide: true },
    { title: 'PLUGIN', value: ({ view }) => reportOf(view)?.plugin ?? '-', wide: true },
    { title: 'MACHINE', value: ({ view }) => view?.owner?.record.machine?.id ?? '-', wide: true },
    { title: 'ALIVE', value: ({ view }) => aliveText(view, now), wide: true },
    { title: 'WARNINGS', value: (node) => warningsCell(node, paint) },
  ];
}

const readyText = (cluster: NodeOverview['cluster']): string =>
  cluster === undefined ? '-' : cluster === 'absent' ? 'absent' : cluster.ready ? 'yes' : 'no';

/** The first kind, and how many more: `cnictl node show` tells them all. */
function warningsCell({ warnings }: NodeOverview, paint: Context['paint']): Cell {
  const [first, ...more] = warnings.map(({ kind }) => kind);
  if (first === undefined) return '-';
  const text = `${first}${more.length > 0 ? ` +${more.length}` : ''}`;
  return painted(NODE_WARNINGS[first].level === 'fail' ? paint.red(text) : paint.yellow(text));
}

export function overviewJson({
  view,
  cluster,
  drainingSince,
  warnings,
  ...usage
}: NodeOverview): Record<string, unknown> {
  return {
    ...usage,
    drainingSince: drainingSince === undefined ? null : new Date(drainingSince).toISOString(),
    ...nameJson(view),
    kubernetes: cluster === undefined ? null : clusterJson(cluster),
    warnings: warningsJson({ warnings }),
  };
}

export const warningsJson = ({ warnings }: Pick<NodeOverview, 'warnings'>): object[] =>
  warnings.map(({ kind, detail }) => ({ kind, level: NODE_WARNINGS[kind].level, detail }));

const clusterJson = (cluster: Exclude<NodeOverview['cluster'], undefined>): object =>
  cluster === 'absent' ? { known: false } : { known: true, ...cluster };

/** Returns a line for each warning, with what to do. */
export const warningFields = ({ warnings }: NodeOverview, paint: Context['paint']): [string, Cell][] =>
  warnings.map(({ kind, detail }) => {
    const { level, remedy } = NODE_WARNINGS[kind];
    const colour = level === 'fail' ? paint.red : paint.yellow;
    return ['Warning', painted(`${colour(kind)}: ${printable(detail)} ${paint.dim(`→ ${remedy}`)}`)];
  });
