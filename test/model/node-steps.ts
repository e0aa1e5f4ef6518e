import type { ReleaseCause } from '../../ipam/model/lifetime.ts';
import { usedIn } from './etcd.ts';
import { send, carry, released, gone, type Step } from './sent-steps.ts';
import {
  containerOf,
  nodeOf,
  NODES,
  withContainer,
  withNode,
  withWork,
  type Bounds,
  type Etcd,
  type NodeNumber,
  type Place,
  type State,
  type Transaction,
  type Work,
} from './state.ts';
import { isSetBack, missingOf, pick, release, returnOf, writeBack } from './transactions.ts';

/** Returns every step that a process of the node can make now. */
export function workSteps(state: State, bounds: Bounds, node: NodeNumber, process: number): Step[] {
  const work = nodeOf(state, node).work[process];
  const who = `${NODES[node]}${process === 0 ? '' : "'"}`;
  const named = (steps: readonly Step[]): Step[] =>
    steps.map(({ name, state: after }) => ({ name: `${who}: ${name}`, state: after }));
  if (!work) return named(beginnings(state, bounds, node, process));
  const without = new Set(bounds.without);
  const { step } = work;
  switch (step.at) {
    case 'start':
      return named(
        without.has('addresses-first')
          ? readFirst(state, node, process, work)
          : list(state, node, process, work, bounds),
      );
    case 'listed':
      return named(read(state, bounds, node, process, work, state.etcd, step.inUse));
    case 'read':
      return named(read(state, bounds, node, process, work, step.etcd, addressesInUse(state, node)));
    case 'send':
      return named(send(state, bounds, node, process, work, step));
    case 'given':
      return named(carry(state, node, process, work, step, without));
  }
}

/** New work of an idle process. */
function beginnings(state: State, bounds: Bounds, node: NodeNumber, process: number): Step[] {
  const steps: Step[] = [];
  const begin = (name: string, does: Work['does'], container: number, from = state): void => {
    steps.push({ name, state: withWork(from, node, process, { does, container, step: { at: 'start' } }) });
  };
  const { containers } = state;
  if (containers.length < bounds.pods) {
    const number = containers.length + 1;
    const started = { node, life: 'starts', listed: true, place: undefined } as const;
    begin(`ADD ${number} begins`, 'add', number, { ...state, containers: [...containers, started] });
  }
  const busy = nodeOf(state, node).work.flatMap((each) => each?.container ?? []);
  const ownBlocks = state.etcd.blocks.map((block) => block?.node === NODES[node]);
  containers.forEach((each, i) => {
    const number = i + 1;
    if (each.node !== node || busy.includes(number)) return;
    if (each.life === 'lives')
      begin(
        `DEL ${number} begins`,
        'release',
        number,
        withContainer(state, number, { life: 'ends', place: undefined }),
      );
    if (each.life !== 'gone') return;
    if (nodeOf(state, node).deferred.includes(number))
      begin(`deferred teardown of ${number} begins`, 'release', number);
    else if (
      usedIn(state.etcd).some(({ container, place }) => container === number && ownBlocks[place.block])
    )
      begin(`reconcile finds ${number}`, 'release', number);
  });
  if (!nodeOf(state, node).looked) begin('the agent looks', 'look', 0);
  if (bounds.returns && busy.length === 0)
    state.etcd.blocks.forEach((_, at) => {
      if (returnOf(state, node, state.etcd, at)) begin(`return of block ${at} begins`, 'return', -at);
    });
  return steps;
}

/** Containers of the node that live, and that no other process of the node works on. */
const addressesInUse = ({ containers }: State, node: NodeNumber): number[] =>
  containers.flatMap((each, i) => (each.node === node && each.life === 'lives' ? [i + 1] : []));

function list(state: State, node: NodeNumber, process: number, work: Work, bounds: Bounds): Step[] {
  const inUse = addressesInUse(state, node);
  // With one process nothing comes in between: one step.
  if (nodeOf(state, node).work.length === 1)
    return read(state, bounds, node, process, work, state.etcd, inUse);
  return [
    {
      name: 'lists the addresses in use',
      state: withWork(state, node, process, { ...work, step: { at: 'listed', inUse } }),
    },
  ];
}

const readFirst = (state: State, node: NodeNumber, process: number, work: Work): Step[] => [
  {
    name: 'reads etcd',
    state: withWork(state, node, process, { ...work, step: { at: 'read', etcd: state.etcd } }),
  },
];

/** Reads the node's blocks, and computes the transaction (`runRequests` in ipam/node/runner.ts). */
function read(
  state: State,
  bounds: Bounds,
  node: NodeNumber,
  process: number,
  work: Work,
  etcd: Etcd,
  inUse: readonly number[],
): Step[] {
  const without = new Set(bounds.without);
  const isOld = isSetBack(state, node, etcd, without);
  const others = nodeOf(state, node).work.flatMap((each, i) =>
    each && i !== process ? [each.container] : [],
  );
  const isFree = (container: number): boolean =>
    containerOf(state, container).life === 'lives' && !others.includes(container);
  const living = without.has('write-back') ? [] : missingOf(state, node, etcd, inUse).filter(isFree);
  const generation = etcd.machines[node]?.generation ?? 0;
  const { fence } = nodeOf(state, node);
  const seen = isOld ? generation : Math.max(fence, generation);
  const back = living.length > 0 || isOld ? writeBack(state, node, etcd, living, isOld) : undefined;
  const to = (next: Work['step'], from: State): State =>
    withWork({ ...from, marks: from.marks + 1 }, node, process, { ...work, step: next });
  if (back) {
    const step = {
      at: 'send',
      transaction: back,
      writesBack: true,
      fence: seen,
      place: undefined,
      probes: false,
    } as const;
    return [
      { name: `reads etcd: it must write back ${living.join(' and ') || 'nothing'}`, state: to(step, state) },
    ];
  }
  const isWhole = addressesInUse(state, node).every((container) => inUse.includes(container));
  const safe = withNode(state, node, { fence: seen, ...(isWhole && { looked: true }) });
  const sends = (transaction: Transaction, place?: Place): State =>
    to({ at: 'send', transaction, writesBack: false, fence: seen, place, probes: etcd.told }, safe);
  switch (work.does) {
    case 'add': {
      const picked = pick(safe, node, etcd, work.container, without);
      if (picked.length === 0)
        return [
          {
            name: `ADD ${work.container} finds no address`,
            state: gone(withWork(safe, node, process, undefined), work.container),
          },
        ];
      return picked.map(({ transaction, place }) => ({
        name: `reads etcd: ADD ${work.container} chooses address ${place.block}.${place.slot}`,
        state: sends(transaction, place),
      }));
    }
    case 'release':
    case 'set-aside': {
      const cause: ReleaseCause =
        work.does === 'release' ? { why: 'del' } : { why: 'conflict', conflictMac: 'other' };
      const isDeferred = nodeOf(state, node).deferred.includes(work.container);
      const names = containerOf(state, work.container).life === 'ends';
      const touches = (isDeferred || names) && !without.has('fencing');
      const transaction = release(safe, node, etcd, work.container, cause, touches);
      if (!transaction)
        return [
          {
            name: `finds nothing of ${work.container} to release`,
            state: released(withWork(safe, node, process, undefined), node, work.container),
          },
        ];
      return [{ name: `reads etcd to release ${work.container}`, state: sends(transaction) }];
    }
    case 'look':
      return [{ name: 'finds nothing to write back', state: withWork(safe, node, process, undefined) }];
    case 'return': {
      const transaction = returnOf(safe, node, etcd, -work.container);
      if (!transaction)
        return [{ name: 'finds the block in use', state: withWork(safe, node, process, undefined) }];
      return [{ name: `reads etcd to return block ${-work.container}`, state: sends(transaction) }];
    }
  }
}
