import type { KubeApi } from '../../cni/kube/api.ts';
import { formatAddress, formatCidr } from '../../ipam/model/address.ts';
import { setNodeDraining } from '../../ipam/node/drain.ts';
import { freeName, viewName, type NameView } from '../../ipam/node/name-records.ts';
import {
  indexedNodes,
  nodeInEtcd,
  sweepIndex,
  sweepLost,
  viewNode,
  type NodeView,
} from '../../ipam/query/node-view.ts';
import { aliveKey, ALIVE_TTL_MS } from '../../ipam/records/alive-record.ts';
import { lostKey } from '../../ipam/records/lost-record.ts';
import { absent } from '../../ipam/records/transaction.ts';
import { nodeOf } from '../../ipam/model/block.ts';
import type { BlockView } from '../../ipam/query/views.ts';
import type { UnreadableRecord } from '../../ipam/records/unreadable.ts';
import { checkNodeName } from '../../ipam/settings/settings.ts';
import { Wire } from '../check/wire.ts';
import { identifyOwn } from '../context/cluster.ts';
import type { Context } from '../context/context.ts';
import { formatDuration, parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import { operatorOf } from '../context/operator.ts';
import type { OpenIpam } from '../context/world.ts';
import { presenceOf, refuseRemoval } from '../node/presence.ts';
import {
  confirmTargets,
  freeTargets,
  restOf,
  returnBlocks,
  targetsOf,
  type Freed,
  type HandedBlock,
  type LeftBlock,
  type Target,
} from '../node/removal.ts';
import { plural } from '../render/plural.ts';
import { podText } from '../render/pod.ts';
import { printable } from '../render/printable.ts';
import { addressJson, ownerOf } from './ip.ts';
import { requireNodeEver } from './known-node.ts';
import { listOfNode, noBlockText } from './node-blocks.ts';
import { cidrOf } from './node-show.ts';

export interface NodeRemoveOptions {
  readonly grace: string;
  readonly wait: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly ignoreNotFound?: boolean;
}

interface Removal {
  readonly context: Context;
  readonly ipam: OpenIpam;
  /** Undefined when no API server is configured and the operator uses --force. */
  readonly kube: KubeApi | undefined;
  readonly name: string;
  readonly graceMs: number;
  readonly waitMs: number;
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly force: boolean;
  readonly ignoreNotFound: boolean;
}

/**
 * `node remove`: frees all addresses, all blocks and the name of a node that is gone for good. Exit
 * status 2 when anything is left.
 * @throws CommandError when the API server still has the node, nothing proves that it does not, it
 *   is another cluster's, or nothing knows the name
 */
export async function nodeRemove(
  context: Context,
  given: string,
  options: NodeRemoveOptions,
): Promise<number> {
  checkNodeName(given);
  const { dryRun = false, yes = false, force = false, ignoreNotFound = false } = options;
  const graceMs = parseDuration(options.grace, '--grace');
  const waitMs = parseDuration(options.wait, '--wait');
  if (!context.knowsKube && !force) {
    throw new CommandError(
      `no API server is known, so nothing tells whether node '${given}' is gone: nothing was changed`,
      'Name a kubeconfig with --kubeconfig, or add --force when you know that the machine is gone.',
    );
  }
  return await context.withIpam(async (ipam) => {
    const name = await nodeInEtcd(ipam, given);
    const removal = { context, ipam, name, graceMs, waitMs, dryRun, yes, force, ignoreNotFound };
    if (!context.knowsKube) return await remove({ ...removal, kube: undefined });
    return await context.withKubeLists(async (kube) => {
      await identifyOwn(ipam.store, kube);
      return await remove({ ...removal, kube });
    });
  });
}

const ALSO_UNKNOWN = ' To succeed also for a name that nothing knows: --ignore-not-found.';

async function remove(removal: Removal): Promise<number> {
  const { context, ipam, name, dryRun } = removal;
  const first = await look(removal);
  const [lost] = await ipam.store.get([lostKey(name)]);
  const names = await viewName(ipam.store, name);
  if (isNothing(first.view) && !lost && !names.owner) {
    if (!removal.ignoreNotFound) await requireNodeEver(context, ipam, name, ALSO_UNKNOWN);
    const { nodes = [] } = await listOfNode(ipam, { node: name });
    const nothing = { freed: [], returned: [], handed: [], left: [], unreadable: [] };
    context.print(
      resultJson(removal, nothing),
      () => `nothing to remove: ${noBlockText({ node: name }, nodes)}`,
    );
    return 0;
  }
  refuseIfAlive(removal, names);
  const count = plural(first.targets.length, 'address', 'addresses');
  const what = `${plural(first.view.blocks.length, 'block')} and ${count} of node '${printable(name)}'`;
  if (!dryRun) await context.confirm(`This frees ${what}`, removal.yes);
  const targets = dryRun ? first.targets : await lookAgain(removal, first.targets);
  const isBack = async (): Promise<boolean> => (await isInCluster(removal)) || (await isAlive(removal));
  const guards = removal.force ? [] : [absent(aliveKey(name))];
  const freed = await freeTargets(ipam, targets, {
    isBack,
    force: removal.force,
    dryRun,
    by: operatorOf(removal.context.world),
    guards,
    wire: new Wire(context, (text) => context.warn(text)),
    vlans: new Map(
      [...first.view.blocks, ...first.view.guests].map(({ block, range }) => [block.range, range?.vlan]),
    ),
  });
  if (dryRun) return printPlan(removal, first.view, freed);
  await waitForRest(removal);
  const { returned, handed, left, unreadable } = await returnBlocks(ipam, name, isBack, guards);
  const isEmpty = left.length + unreadable.length === 0;
  const isClean = isEmpty && !(await isBack()) && (await freeAll(ipam, name));
  context.print(
    resultJson(removal, { freed, returned: returned.map(cidrOf), handed, left, unreadable }),
    () =>
      [
        ...freed.map(freedText),
        ...returned.map((view) => `block ${cidrOf(view)} returned\n`),
        ...handed.map(handedLine),
        ...left.map(leftLine),
        ...(isClean || left.length > 0 ? [] : ['the name is in use again: do this again later\n']),
      ].join(''),
  );
  context.warnUnreadable(unreadable);
  return isClean ? 0 : 2;
}

/**
 * Removes what is left of a node without blocks: index, drain mark and machine record.
 * @returns false if a program has written under the name meanwhile
 */
async function freeAll(ipam: OpenIpam, name: string): Promise<boolean> {
  await sweepIndex(ipam, name);
  await sweepLost(ipam, name);
  await setNodeDraining(ipam, name, false);
  const { owner } = await viewName(ipam.store, name);
  return !owner || (await freeName(ipam.store, name, owner.entry));
}

/**
 * An agent that lives goes on giving out addresses of its blocks, and its pods use theirs.
 * @throws CommandError unless forced
 */
function refuseIfAlive({ context, force }: Removal, { node, alive }: NameView): void {
  if (!alive) return;
  const { machine, since } = alive.record;
  const what = `an agent on machine ${machine} is alive under node name '${node}' since ${new Date(since).toISOString()}`;
  const remedy = `Stop it for good first: it counts as alive for ${formatDuration(ALIVE_TTL_MS)} after its last sign.`;
  if (!force) throw new CommandError(`${what}: nothing was changed`, remedy);
  context.warn(`${what}. ${remedy}`);
}

const isNothing = ({ blocks, guests, disagreements, unreadable, draining }: NodeView): boolean =>
  blocks.length + guests.length + disagreements.length + unreadable.length === 0 && !draining;

/**
 * Reads allocations first and the cluster second (rule 6).
 * @throws CommandError
 */
async function look({ ipam, kube, name, force }: Removal): Promise<{ view: NodeView; targets: Target[] }> {
  const view = await viewNode(ipam, name);
  if (!kube) return { view, targets: await targetsOf(ipam, view, undefined) };
  const targets = await targetsOf(ipam, view, kube);
  const runsOn = targets.flatMap((target) => target.runsOn ?? []);
  const presence = presenceOf(name, await indexedNodes(ipam), await kube.listNodes(), runsOn);
  const refusal = refuseRemoval(name, presence, kube.server, force);
  if (refusal) throw refusal;
  return { view, targets };
}

/**
 * Makes the second observation, a grace later. Without an API server there is nothing to observe.
 */
async function lookAgain(removal: Removal, first: readonly Target[]): Promise<Target[]> {
  const { context, kube, graceMs } = removal;
  if (!kube || first.length === 0) return [...first];
  if (graceMs > 0) {
    context.warn(
      `${plural(first.length, 'address', 'addresses')} to free: looking again in ${formatDuration(graceMs)}`,
    );
    await context.world.pause(graceMs);
  }
  return confirmTargets(first, (await look(removal)).targets);
}

async function isInCluster({ kube, name }: Removal): Promise<boolean> {
  return kube !== undefined && (await kube.getNode(name)) !== undefined;
}

/** Whether an agent has come to life under the name. By force that does not count. */
async function isAlive({ ipam, name, force }: Removal): Promise<boolean> {
  if (force) return false;
  const [alive] = await ipam.store.get([aliveKey(name)]);
  return alive !== undefined;
}

/** A freed address cools before another node may have it (rule 8). */
async function waitForRest({ context, ipam, name, waitMs }: Removal): Promise<void> {
  const restMs = restOf((await viewNode(ipam, name)).blocks, ipam.effects.now());
  const pauseMs = Math.min(restMs, waitMs);
  if (pauseMs === 0) return;
  context.warn(`freed addresses rest: blocks go back in ${formatDuration(Math.ceil(pauseMs / 1000) * 1000)}`);
  await context.world.pause(pauseMs);
}

interface Result {
  readonly freed: readonly Freed[];
  readonly returned: readonly string[];
  readonly handed: readonly HandedBlock[];
  readonly left: readonly LeftBlock[];
  readonly unreadable: readonly UnreadableRecord[];
}

function resultJson(
  { name, dryRun }: Removal,
  { freed, returned, handed, left, unreadable }: Result,
): object {
  return {
    name,
    dryRun,
    addresses: freed.map(({ view, outcome, pod }) => ({ ...addressJson(view), outcome, livingPod: pod })),
    returned,
    handed: handed.map(({ view, to }) => ({ cidr: cidrOf(view), range: view.block.range, node: to })),
    left: left.map(({ view, reason }) => ({ cidr: cidrOf(view), range: view.block.range, reason })),
    unreadable,
  };
}

/** Prints what would be done. Exit status 2 when something would stay. */
function printPlan(removal: Removal, { blocks, unreadable }: NodeView, freed: readonly Freed[]): number {
  const kept = freed.filter(({ outcome }) => outcome !== 'would-release');
  const stays = (cidr: string): boolean =>
    kept.some(({ view }) => view.block !== undefined && formatCidr(view.block) === cidr);
  const isHanded = ({ block, counts }: BlockView): boolean =>
    counts.kept > 0 ||
    block.slots.some((slot) => slot.state === 'used' && nodeOf(block, slot) !== block.node);
  const mayGo = blocks.filter((view) => !stays(cidrOf(view)));
  const returned = mayGo.filter((view) => !isHanded(view)).map(cidrOf);
  const left = blocks
    .filter((view) => stays(cidrOf(view)))
    .map((view): LeftBlock => ({ view, reason: 'in-use' }));
  removal.context.print(resultJson(removal, { freed, returned, handed: [], left, unreadable }), () =>
    [
      ...freed.map(freedText),
      ...returned.map((cidr) => `block ${cidr} would be returned\n`),
      ...mayGo.filter(isHanded).map((view) => `block ${cidrOf(view)} would be handed over to another node\n`),
      ...left.map(leftLine),
    ].join(''),
  );
  removal.context.warnUnreadable(unreadable);
  return kept.length + unreadable.length > 0 ? 2 : 0;
}

function freedText({ view, outcome, pod }: Freed): string {
  const ip = formatAddress(view.address);
  const who = podText(ownerOf(view));
  const of = who === '-' ? '' : ` (${printable(who)})`;
  switch (outcome) {
    case 'released':
      return `${ip}${of} released\n`;
    case 'would-release':
      return `${ip}${of} would be released\n`;
    case 'changed':
      return `${ip} kept: it has another owner now\n`;
    case 'answers':
      return `${ip}${of} kept: a host still answers for it on the wire\n`;
    case 'pod-lives':
      return `${ip} kept: the API server still has pod ${printable(pod ?? '')}\n`;
    case 'node-is-back':
      return `${ip}${of} kept: the node is in the cluster again, or its agent lives\n`;
  }
}

const REASONS: Readonly<Record<LeftBlock['reason'], string>> = {
  'in-use': 'addresses of it are given out',
  kept: 'it keeps addresses, and no other node is there to take it over',
  cooling: 'addresses of it rest; do this again later, or with a longer --wait',
  'range-gone': 'its range does not exist: cnictl doctor',
  changed: 'it changed meanwhile; do this again',
  unreadable: 'its record or index entry cannot be read: cnictl node show',
  'node-is-back': 'the node is in the cluster again, or its agent lives',
};

const handedLine = ({ view, to }: HandedBlock): string =>
  `block ${cidrOf(view)} handed over to node ${printable(to)}: pods of other nodes have or keep addresses of it\n`;

const leftLine = ({ view, reason }: LeftBlock): string => `block ${cidrOf(view)} left: ${REASONS[reason]}\n`;
