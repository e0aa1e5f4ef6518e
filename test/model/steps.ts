import { expectedOf, isExpected, releaseSlot } from '../../ipam/model/block.ts';
import { addressOf, carryOut, NOW, usedIn } from './etcd.ts';
import { workSteps } from './node-steps.ts';
import type { Step } from './sent-steps.ts';
import type { Rule } from './rules.ts';
import {
  containerOf,
  nodeOf,
  NODES,
  withContainer,
  withNode,
  type Bounds,
  type Check,
  type Listed,
  type NodeNumber,
  type State,
} from './state.ts';
import { ownerOf } from './transactions.ts';

/** Returns every step that is possible now, each with another name. */
export function stepsFrom(state: State, bounds: Bounds): Step[] {
  const without = new Set(bounds.without);
  return [
    ...state.nodes.flatMap(({ work }, node) =>
      work.flatMap((_, process) => workSteps(state, bounds, node as NodeNumber, process)),
    ),
    ...state.nodes.flatMap((_, node) => crash(state, bounds, node as NodeNumber)),
    ...late(state, without),
    ...forgetPods(state),
    ...state.checks.flatMap((check, i) => checkSteps(state, check, i, without)),
    ...operator(state, bounds),
  ];
}

/** A node loses its memory and its pods, and keeps its disk. */
function crash(state: State, { crashes }: Bounds, node: NodeNumber): Step[] {
  if (state.crashes >= crashes) return [];
  const { work } = nodeOf(state, node);
  const containers = state.containers.map((each) =>
    each.node === node ? { ...each, life: 'gone' as const, place: undefined } : each,
  );
  const after = withNode({ ...state, containers, crashes: state.crashes + 1 }, node, {
    work: work.map(() => undefined),
  });
  return [{ name: `${NODES[node]} crashes and restarts`, state: after }];
}

/** Transactions whose sender has given up arrive, or never do. */
function late(state: State, without: ReadonlySet<Rule>): Step[] {
  return state.late.flatMap((transaction, i): Step[] => {
    const left = { ...state, late: state.late.filter((_, n) => n !== i) };
    const etcd = carryOut(state.etcd, transaction, without);
    const who = NODES[transaction.node];
    return [
      ...(etcd
        ? [{ name: `etcd carries out what ${who} sent long ago (${i})`, state: { ...left, etcd } }]
        : []),
      { name: `what ${who} sent long ago changes nothing (${i})`, state: left },
    ];
  });
}

/** The API server forgets pods whose containers have ended. */
const forgetPods = (state: State): Step[] =>
  state.containers.flatMap(({ listed, life }, i) =>
    listed && life === 'gone'
      ? [
          {
            name: `the API server forgets pod ${i + 1}`,
            state: withContainer(state, i + 1, { listed: false }),
          },
        ]
      : [],
  );

/** One look of \`cnictl check --release\`. The product looks three times. */
function checkSteps(state: State, check: Check, i: number, without: ReadonlySet<Rule>): Step[] {
  const who = `check ${i + 1}`;
  const to = (name: string, next: Check, from = state): Step => ({
    name: `${who}: ${name}`,
    state: { ...from, checks: from.checks.with(i, next) },
  });
  switch (check.at) {
    case 'idle':
      if (without.has('pods-second')) return [to('lists the pods', { at: 'pods', pods: podsOf(state) })];
      return [to('lists the allocations', { at: 'allocations', allocations: allocationsOf(state) })];
    case 'allocations':
      return [to('lists the pods', leaksOf(check.allocations, podsOf(state)))];
    case 'pods':
      return [to('lists the allocations', leaksOf(allocationsOf(state), check.pods))];
    case 'leaks': {
      const [first, ...rest] = check.leaks;
      if (!first) return [];
      const next: Check = rest.length > 0 ? { at: 'leaks', leaks: rest } : { at: 'done' };
      const after = free(state, first, without);
      const what = `address ${first.place.block}.${first.place.slot} of ${first.container}`;
      return [after ? to(`releases ${what}`, next, after) : to(`finds ${what} changed`, next)];
    }
    case 'done':
      return [];
  }
}

const podsOf = ({ containers }: State): number[] =>
  containers.flatMap(({ listed }, i) => (listed ? [i + 1] : []));

const allocationsOf = ({ etcd }: State): Listed[] =>
  usedIn(etcd).map(({ place, container, slot }) => ({ place, container, sequence: slot.sequence }));

function leaksOf(allocations: readonly Listed[], pods: readonly number[]): Check {
  const leaks = allocations.filter(({ container }) => !pods.includes(container));
  return leaks.length > 0 ? { at: 'leaks', leaks } : { at: 'done' };
}

/** Reads the block and releases the address in a transaction that compares the block as read. */
function free(
  state: State,
  { place, container, sequence }: Listed,
  without: ReadonlySet<Rule>,
): State | undefined {
  const block = state.etcd.blocks[place.block];
  const slot = block?.slots[place.slot];
  if (slot?.state !== 'used') return undefined;
  const { containerId, ifname } = ownerOf(container);
  const believed = without.has('owner')
    ? expectedOf(slot)
    : { containerId, ifname, sequence, allocatedAt: NOW };
  if (!block || !isExpected(slot, believed)) return undefined;
  const result = releaseSlot(block, addressOf(place), believed, NOW, { why: 'leaked' });
  if (result.outcome !== 'released') return undefined;
  const { etcd } = state;
  return {
    ...state,
    etcd: { ...etcd, blocks: etcd.blocks.with(place.block, result.block) },
  };
}

/** An operator saves a snapshot, and later sets etcd back to it. */
function operator(state: State, { setBacks }: Bounds): Step[] {
  if (state.setBacks >= setBacks) return [];
  const { snapshot, etcd } = state;
  if (!snapshot) return [{ name: 'a snapshot of etcd is saved', state: { ...state, snapshot: etcd } }];
  // The server that had received them is gone.
  const after = {
    ...state,
    etcd: snapshot,
    snapshot: undefined,
    late: [],
    setBacks: state.setBacks + 1,
    nodes: state.nodes.map((node) => ({ ...node, looked: false })),
  };
  return [{ name: 'etcd is set back to the snapshot', state: after }];
}

/** What the step breaks; undefined: nothing. */
export function violationOf(before: State, after: State): string | undefined {
  const { containers } = after;
  for (const [i, each] of containers.entries()) {
    if (each.life !== 'lives' || !each.place) continue;
    const { block, slot } = each.place;
    const other = containers.findIndex(
      ({ life, place }, n) => n > i && life === 'lives' && place?.block === block && place.slot === slot,
    );
    if (other >= 0) return `address ${block}.${slot} has two living owners: ${i + 1} and ${other + 1}`;
  }
  if (after.setBacks > before.setBacks || after.etcd === before.etcd) return undefined;
  const was = usedIn(before.etcd);
  const now = usedIn(after.etcd);
  const given = now.find(({ container }) => !was.some((each) => each.container === container));
  if (given && isForgotten(after, given.container))
    return `address ${given.place.block}.${given.place.slot} is given to ${given.container}, whose calls have ended`;
  const ended = was.find(({ container, place, slot }) => {
    const is = containerOf(after, container);
    const isLiving = is.life === 'lives' && is.place?.block === place.block && is.place.slot === place.slot;
    return (
      isLiving && !now.some((each) => each.container === container && each.slot.sequence === slot.sequence)
    );
  });
  return (
    ended &&
    `address ${ended.place.block}.${ended.place.slot} of ${ended.container}, which lives, is released`
  );
}

/** Whether the container's calls have ended, and its node knows of no teardown. */
function isForgotten(state: State, container: number): boolean {
  const { node, life } = containerOf(state, container);
  return life === 'gone' && !nodeOf(state, node).deferred.includes(container);
}

/** Whether nothing is left to free. */
export const isEmpty = ({ etcd, containers, nodes, late: sent }: State): boolean =>
  usedIn(etcd).length === 0 &&
  containers.every(({ life }) => life === 'gone') &&
  nodes.every(({ deferred, work }) => deferred.length === 0 && work.every((each) => !each)) &&
  sent.length === 0;
