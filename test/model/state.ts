import { parseCidr, parseAddress } from '../../ipam/model/address.ts';
import { newBlock, type Block } from '../../ipam/model/block.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import type { Rule } from './rules.ts';

/** What is explored. Everything is bounded, so that the exploration ends. */
export interface Bounds {
  /** Pods that are ever started, each with one container. */
  readonly pods: number;
  readonly checkers: number;
  /** How often a node crashes and restarts. */
  readonly crashes: number;
  /** How many transactions take effect later than their sender waits, or never. */
  readonly late: number;
  /** How often etcd is set back to an earlier state. */
  readonly setBacks: number;
  /** Processes that work at once on the first node, as an agent and a plugin beside it. */
  readonly processes: number;
  /** Whether nodes return idle blocks. The second node then holds one at the start. */
  readonly returns: boolean;
  /** The rules that are left out. */
  readonly without: readonly Rule[];
}

/** Both blocks of the range: two addresses to give out in the first, one in the second. */
export const RANGE = makeRange({
  name: 'blue',
  cidr: parseCidr('10.1.0.0/29'),
  blockSize: 4,
  cooldownMs: 0,
  exclude: [
    { first: parseAddress('10.1.0.1'), last: parseAddress('10.1.0.1') },
    { first: parseAddress('10.1.0.5'), last: parseAddress('10.1.0.6') },
  ],
});
export const CIDRS = [parseCidr('10.1.0.0/30'), parseCidr('10.1.0.4/30')] as const;
export const NODES = ['a', 'b'] as const;
export type NodeNumber = 0 | 1;

/** A place in the range: block and slot. */
export interface Place {
  readonly block: number;
  readonly slot: number;
}

/** The machine record of a node: `mark` is different for each write. */
export interface MachineRecord {
  readonly generation: number;
  readonly mark: number;
}

export interface Etcd {
  readonly blocks: readonly (Block | undefined)[];
  /** The count with which a returned block goes on when it is claimed again (its history). */
  readonly counts: readonly number[];
  readonly machines: readonly (MachineRecord | undefined)[];
  /** Whether a node has told that etcd was set back. */
  readonly told: boolean;
}

/** A transaction of a node, with what it compares. */
export interface Transaction {
  readonly node: NodeNumber;
  /** The state of etcd that it was computed from. */
  readonly machine: MachineRecord | undefined;
  readonly blocks: readonly {
    readonly at: number;
    readonly was: Block | undefined;
    readonly is: Block | undefined;
  }[];
  /** Whether etcd told of a set-back then; undefined when the transaction does not compare it. */
  readonly told: boolean | undefined;
  readonly tells: boolean;
  readonly next: MachineRecord;
  /** Whether it takes a block that no node held. */
  readonly claims: boolean;
}

/** What a process of a node does: one request for its blocks, with the work around it. */
export interface Work {
  /** `look`: the agent reads its blocks, as it does every minute. */
  readonly does: 'add' | 'release' | 'set-aside' | 'return' | 'look';
  /** The container; of a return, the block below 0; 0 for a look. */
  readonly container: number;
  readonly step:
    | { readonly at: 'start' }
    /** The addresses in use are listed: containers. */
    | { readonly at: 'listed'; readonly inUse: readonly number[] }
    /** etcd is read without such a list: only where a rule is left out. */
    | { readonly at: 'read'; readonly etcd: Etcd }
    | {
        readonly at: 'send';
        readonly transaction: Transaction;
        readonly writesBack: boolean;
        /** The generation that the fence has after a write-back. */
        readonly fence: number;
        readonly place: Place | undefined;
        readonly probes: boolean;
      }
    | { readonly at: 'given'; readonly place: Place; readonly probes: boolean };
}

export interface NodeState {
  /** The newest generation that the node has seen. On its disk. */
  readonly fence: number;
  /** Whether it has read etcd since etcd was set back, and written back what it had to. */
  readonly looked: boolean;
  /** Containers whose teardown is deferred. On its disk. */
  readonly deferred: readonly number[];
  readonly work: readonly (Work | undefined)[];
}

export interface Container {
  readonly node: NodeNumber;
  /** `ends`: off the wire, its DEL under way. */
  readonly life: 'starts' | 'lives' | 'ends' | 'gone';
  /** Whether the API server has its pod. */
  readonly listed: boolean;
  /** The address that it carries while it lives. */
  readonly place: Place | undefined;
}

/** An allocation as a check has listed it. */
export interface Listed {
  readonly place: Place;
  readonly container: number;
  readonly sequence: number;
}

export type Check =
  | { readonly at: 'idle' }
  | { readonly at: 'allocations'; readonly allocations: readonly Listed[] }
  | { readonly at: 'pods'; readonly pods: readonly number[] }
  | { readonly at: 'leaks'; readonly leaks: readonly Listed[] }
  | { readonly at: 'done' };

export interface State {
  readonly etcd: Etcd;
  /** The snapshot that an operator has taken. */
  readonly snapshot: Etcd | undefined;
  readonly setBacks: number;
  readonly nodes: readonly NodeState[];
  /** By number, from 1. */
  readonly containers: readonly Container[];
  /** Transactions on their way whose sender waits no longer. */
  readonly late: readonly Transaction[];
  readonly checks: readonly Check[];
  readonly crashes: number;
  readonly lateOnes: number;
  /** The next mark of a machine record. No part of what tells states apart. */
  readonly marks: number;
}

export function initialState({ checkers, processes, returns }: Bounds): State {
  const generation = returns ? 1 : 0;
  const node = (count: number, fence = 0): NodeState => ({
    fence,
    looked: true,
    deferred: [],
    work: Array.from({ length: count }, () => undefined),
  });
  return {
    etcd: {
      blocks: [undefined, returns ? newBlock(RANGE, CIDRS[1], NODES[1], 0) : undefined],
      counts: [0, 0],
      machines: [undefined, returns ? { generation, mark: 0 } : undefined],
      told: false,
    },
    snapshot: undefined,
    setBacks: 0,
    nodes: [node(processes), node(1, generation)],
    containers: [],
    late: [],
    checks: Array.from({ length: checkers }, () => ({ at: 'idle' })),
    crashes: 0,
    lateOnes: 0,
    marks: 1,
  };
}

export const containerOf = ({ containers }: State, number: number): Container => {
  const found = containers[number - 1];
  if (!found) throw new Error(`container ${number} was never started`);
  return found;
};

export const nodeOf = ({ nodes }: State, number: NodeNumber): NodeState => {
  const found = nodes[number];
  if (!found) throw new Error(`node ${number} does not exist`);
  return found;
};

export const withContainer = (state: State, number: number, change: Partial<Container>): State => ({
  ...state,
  containers: state.containers.with(number - 1, { ...containerOf(state, number), ...change }),
});

export const withNode = (state: State, number: NodeNumber, change: Partial<NodeState>): State => ({
  ...state,
  nodes: state.nodes.with(number, { ...nodeOf(state, number), ...change }),
});

/** Replaces what a process of the node does; undefined: nothing. */
export const withWork = (state: State, node: NodeNumber, process: number, work: Work | undefined): State =>
  withNode(state, node, { work: nodeOf(state, node).work.with(process, work) });

export const samePlace = (a: Place | undefined, b: Place | undefined): boolean =>
  a !== undefined && b !== undefined && a.block === b.block && a.slot === b.slot;
