import { formatCidr } from '../../ipam/model/address.ts';
import { viewName, type NameView } from '../../ipam/node/name-records.ts';
import { nodeInEtcd, viewNode, type Disagreement, type NodeView } from '../../ipam/query/node-view.ts';
import { addressesOf, type BlockView } from '../../ipam/query/views.ts';
import { checkNodeName } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { formatAge } from '../context/durations.ts';
import { describeError } from '../context/errors.ts';
import { readNodeFacts } from '../overview/gather.ts';
import { overviewOf } from '../overview/nodes.ts';
import { renderBar } from '../render/bar.ts';
import { painted, type Cell } from '../render/cell.ts';
import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';
import { renderFields } from '../render/table.ts';
import type { NodeInCluster } from './ask-cluster.ts';
import { blockJson, blockTable } from './block.ts';
import { addressJson, addressTable } from './ip.ts';
import { lookUpNode } from './known-node.ts';
import { warningFields, warningsJson } from './node.ts';
import { nameFields, nameJson } from './node-name.ts';

/**
 * `node show`: shows the node's blocks, its addresses with their owners, and its state in the
 * cluster. Exit status 2 for a node that neither etcd, its history nor the cluster knows.
 */
export async function nodeShow(context: Context, named: string): Promise<number> {
  checkNodeName(named);
  const { name, view, names, kube, unknown, isPast, overview } = await context.withIpam(async (ipam) => {
    const name = await nodeInEtcd(ipam, named);
    const { found: kube, unknown, isPast } = await lookUpNode(context, ipam, name);
    return {
      name,
      kube,
      unknown,
      isPast,
      view: await viewNode(ipam, name),
      names: await viewName(ipam.store, name),
      overview: overviewOf({
        ...(await readNodeFacts(ipam)),
        // The lines of the node have the API server's word.
        cluster: undefined,
        now: context.world.now(),
      }).find((node) => node.name === name),
    };
  });
  const state = view.draining ? 'draining' : isPast ? 'removed' : unknown ? 'unknown' : 'active';
  const now = context.world.now();
  const elsewhere = view.guests
    .flatMap((block) => addressesOf(block, now))
    .filter((each) => each.state === 'used' && each.node === name);
  const addresses = [...view.blocks.flatMap((block) => addressesOf(block, now)), ...elsewhere];
  const given = addresses.filter(({ state }) => state !== 'reserved');
  context.print(
    {
      name,
      ...stateJson(view, state),
      ...nameJson(names),
      warnings: overview ? warningsJson(overview) : [],
      kubernetes: kube,
      ...totalsOf(view.blocks),
      disagreements: view.disagreements,
      blocks: view.blocks.map(blockJson),
      addresses: given.map(addressJson),
      unreadable: view.unreadable,
    },
    () => {
      const sections = [
        renderFields(
          [
            ...fieldsOf(context, view, names, kube, state),
            ...(overview ? warningFields(overview, context.paint) : []),
          ],
          context.paint,
        ),
      ];
      if (view.blocks.length > 0) sections.push(blockTable(context, view.blocks));
      if (given.length > 0) sections.push(addressTable(context, given, now));
      return sections.join('\n');
    },
  );
  context.warnUnreadable(view.unreadable);
  const isUnknown = unknown && !isPast;
  if (isUnknown) context.world.stderr(describeError(unknown));
  return kube.problem === null && !isUnknown ? 0 : 2;
}

type State = 'draining' | 'active' | 'removed' | 'unknown';

const stateJson = ({ drainingSince }: NodeView, state: State): object => ({
  state,
  drainingSince: drainingSince === undefined ? null : new Date(drainingSince).toISOString(),
});

function totalsOf(blocks: readonly BlockView[]): {
  readonly capacity: number;
  readonly allocated: number;
  readonly cooling: number;
  readonly kept: number;
  readonly ranges: readonly string[];
} {
  const sum = (of: (view: BlockView) => number): number =>
    blocks.reduce((total, view) => total + of(view), 0);
  return {
    capacity: sum(({ counts }) => counts.capacity),
    allocated: sum(({ counts }) => counts.used),
    cooling: sum(({ counts }) => counts.cooling),
    kept: sum(({ counts }) => counts.kept),
    ranges: [...new Set(blocks.map(({ block }) => block.range))].sort(),
  };
}

function fieldsOf(
  context: Context,
  view: NodeView,
  names: NameView,
  kube: NodeInCluster,
  state: State,
): [string, Cell][] {
  const { paint, world } = context;
  const { capacity, allocated, cooling, kept } = totalsOf(view.blocks);
  return [
    ['Node', printable(view.node)],
    ['State', state === 'draining' ? painted(paint.yellow(drainingText(view, world.now()))) : state],
    [
      'Kubernetes',
      kube.known === true ? clusterText(kube) : painted(paint.yellow(printable(clusterText(kube)))),
    ],
    ...nameFields(names, world.now()),
    ['Blocks', `${view.blocks.length}`],
    ['Addresses', `${allocated} of ${capacity} used, ${cooling} cooling${kept > 0 ? `, ${kept} kept` : ''}`],
    ['Utilisation', painted(renderBar(allocated, capacity, paint))],
    ...view.disagreements.map((each): [string, Cell] => [
      'Amiss',
      painted(paint.red(disagreementText(each))),
    ]),
  ];
}

function drainingText({ drainingSince }: NodeView, now: number): string {
  return drainingSince === undefined ? 'draining' : `draining (${formatAge(now - drainingSince)})`;
}

export function disagreementText({ key, problem }: Disagreement): string {
  const meaning = {
    'no-block': 'the block that it names does not exist',
    'other-node': 'the block that it names is held by another node',
    'no-index': "the node's index does not name it",
  }[problem];
  return `key ${printable(key)}: ${meaning}`;
}

function clusterText({ server, known, name, certain, ready, problem }: NodeInCluster): string {
  if (problem !== null) return printable(problem);
  if (server === null) return 'not configured';
  if (known !== true) return `${server} has no such node`;
  const state = `${server}: ${ready === true ? 'Ready' : 'not Ready'}`;
  return certain === true ? state : `${state}, if it is the node that is ${printable(name ?? '')} there`;
}

/** Describes blocks and their addresses as a part of a sentence. */
export function leftText(blocks: readonly BlockView[]): string {
  const { allocated, cooling, kept } = totalsOf(blocks);
  const others = [...(cooling > 0 ? [`${cooling} cooling`] : []), ...(kept > 0 ? [`${kept} kept`] : [])];
  const rest = others.length > 0 ? ` and ${others.join(' and ')}` : '';
  return `${plural(blocks.length, 'block')} with ${plural(allocated, 'address', 'addresses')} given out${rest}`;
}

export const cidrOf = ({ block }: BlockView): string => formatCidr(block.cidr);
