import { carryOut, usedIn } from './etcd.ts';
import { ASSUMPTION, type Rule } from './rules.ts';
import {
  nodeOf,
  samePlace,
  withContainer,
  withNode,
  withWork,
  type Bounds,
  type NodeNumber,
  type State,
  type Transaction,
  type Work,
} from './state.ts';

/** A step of the model: what happens, and the state afterwards. */
export interface Step {
  readonly name: string;
  readonly state: State;
}

type Send = Extract<Work['step'], { at: 'send' }>;

/** Sends the transaction: etcd answers, or its answer comes too late for the sender. */
export function send(
  state: State,
  bounds: Bounds,
  node: NodeNumber,
  process: number,
  work: Work,
  step: Send,
): Step[] {
  const without = new Set(bounds.without);
  const { transaction } = step;
  const steps: Step[] = [];
  if (!step.place || !mustWait(state, transaction, without)) {
    const etcd = carryOut(state.etcd, transaction, without);
    steps.push(
      etcd
        ? { name: 'etcd carries it out', state: written({ ...state, etcd }, node, process, work, step) }
        : {
            name: 'etcd refuses: something changed',
            state: withWork(state, node, process, { ...work, step: { at: 'start' } }),
          },
    );
  }
  if (state.lateOnes < bounds.late) {
    const given = withWork(
      { ...state, late: [...state.late, transaction], lateOnes: state.lateOnes + 1 },
      node,
      process,
      undefined,
    );
    steps.push({
      name: 'no answer comes from etcd: the rest is deferred',
      state: deferred(given, node, work),
    });
  }
  return steps;
}

/** What decision 24 leaves open (see {@link ASSUMPTION}). */
function mustWait(state: State, { node, claims }: Transaction, without: ReadonlySet<Rule>): boolean {
  if (without.has(ASSUMPTION)) return false;
  return state.nodes.some(({ looked, work }, other) => {
    const lives = state.containers.some((each) => each.node === other && each.life === 'lives');
    const isGiven = work.some((each) => each?.step.at === 'given' && !isHeld(state, each.container));
    return other !== node && (isGiven || (claims && lives && !looked));
  });
}

/** Whether etcd has an allocation of the container. */
const isHeld = ({ etcd }: State, number: number): boolean =>
  usedIn(etcd).some(({ container }) => container === number);

/** What follows when etcd has carried out the node's transaction. */
function written(state: State, node: NodeNumber, process: number, work: Work, step: Send): State {
  const seen = step.writesBack ? step.fence : step.transaction.next.generation;
  const after = withNode(state, node, { fence: seen });
  if (step.writesBack) return withWork(after, node, process, { ...work, step: { at: 'start' } });
  if (work.does === 'add' && step.place)
    return withWork(after, node, process, {
      ...work,
      step: { at: 'given', place: step.place, probes: step.probes },
    });
  return released(withWork(after, node, process, undefined), node, work.container);
}

/** The pod's end gets the address, after a probe if etcd was set back. */
export function carry(
  state: State,
  node: NodeNumber,
  process: number,
  work: Work,
  step: Extract<Work['step'], { at: 'given' }>,
  without: ReadonlySet<Rule>,
): Step[] {
  const { container } = work;
  // What etcd has lost meanwhile, the node finds when it reads again.
  const looked = nodeOf(state, node).looked && isHeld(state, container);
  const afterwards = withNode(state, node, { looked });
  const answers = state.containers.some(
    ({ life, place }) => life === 'lives' && samePlace(place, step.place),
  );
  const isOwn = state.containers.some(
    (each) => each.node === node && each.life === 'lives' && samePlace(each.place, step.place),
  );
  if (isOwn && !without.has('carry'))
    return [
      {
        name: `ADD ${container} finds its address in use by another pod of the node`,
        state: withContainer(
          withWork(state, node, process, { does: 'release', container, step: { at: 'start' } }),
          container,
          { life: 'ends' },
        ),
      },
    ];
  if (step.probes && answers && !without.has('probe'))
    return [
      {
        name: `ADD ${container} hears another host with its address`,
        state: withContainer(
          withWork(state, node, process, { does: 'set-aside', container, step: { at: 'start' } }),
          container,
          { life: 'ends' },
        ),
      },
    ];
  return [
    {
      name: `ADD ${container} is done: its pod uses ${step.place.block}.${step.place.slot}`,
      state: withContainer(withWork(afterwards, node, process, undefined), container, {
        life: 'lives',
        place: step.place,
      }),
    },
  ];
}

/** A container ends: it is on no wire. Its pod stays with the API server for a while. */
export const gone = (state: State, container: number): State =>
  container > 0 ? withContainer(state, container, { life: 'gone', place: undefined }) : state;

export function released(state: State, node: NodeNumber, container: number): State {
  if (container <= 0) return state;
  const left = nodeOf(state, node).deferred.filter((each) => each !== container);
  return gone(withNode(state, node, { deferred: left }), container);
}

function deferred(state: State, node: NodeNumber, { container }: Work): State {
  if (container <= 0) return state;
  const others = nodeOf(state, node).deferred.filter((each) => each !== container);
  return gone(withNode(state, node, { deferred: [...others, container].sort() }), container);
}
