import type { EtcdCondition, EtcdTrouble } from './etcd-network.ts';
import type { Ending } from './kubelet.ts';
import type { OtherCluster } from './other-clusters.ts';

/** What happens on any day. Endings and kills in it are faults, too. */
export type UsualAct =
  /**
   * `lives`: the first ADD is killed after so many steps. `ending`: what follows a failed ADD.
   * `generation`: the pod is made again under its name, the so-manieth time.
   */
  | { do: 'start'; machine: string; pod: string; lives?: number; ending?: Ending; generation?: number }
  /** `lives`: the first DEL is killed after so many steps. */
  | { do: 'stop'; pod: string; ending: Ending; lives?: number }
  /** The pod's sandbox ends, and the pod gets another one; `same`: under the same container ID. */
  | { do: 'renew'; pod: string; ending: Ending; same: boolean }
  /** The runtime repeats ADD, or calls CHECK. */
  | { do: 'again'; pod: string; verb: 'ADD' | 'CHECK' }
  /** The runtime calls GC with the attachments that it knows. */
  | { do: 'gc'; machine: string }
  /** The agent looks for idle blocks to return. */
  | { do: 'give-back'; machine: string }
  /** The operator adds the ranges, where they are missing. */
  | { do: 'add-ranges' }
  /** An operator's command; `lives`: it is killed after so many steps. */
  | { do: 'cnictl'; argv: string; lives?: number; cluster?: OtherCluster };

export type FaultAct =
  /** The API server forgets the pod, which still runs (`kubectl delete --force`). */
  | { do: 'forget-pod'; pod: string }
  /** The kubelet tells of the phase Failed, and a container still runs for a while. */
  | { do: 'failed-phase'; pod: string; forMs: number }
  /** Somebody damages a record, or puts one of a later release beside the others. */
  | { do: 'bad-record'; which: BadRecord; nth: number; forMs: number }
  | { do: 'kill-agent'; machine: string; forMs: number }
  | { do: 'power-cut'; machine: string; forMs: number }
  /** Another machine starts with an image of the disk and the same host name. */
  | { do: 'clone'; machine: string; as: string }
  /** The wall clock jumps. */
  | { do: 'clock'; machine: string; byMs: number }
  | ({ do: 'etcd-trouble'; forMs: number } & EtcdCondition)
  /** etcd is set back to what it had so long ago; `newId`: as another cluster. */
  | { do: 'etcd-set-back'; agoMs: number; newId: boolean }
  /** etcd starts with an empty data folder, perhaps as the same cluster, or loses all keys. */
  | { do: 'etcd-empty'; how: 'new-data' | 'same-cluster' | 'keys-deleted' }
  | { do: 'etcd-compact' }
  | { do: 'ovs'; machine: string; how: 'hang' | 'away'; forMs: number }
  /** Somebody removes one of the ports that exist. */
  | { do: 'lose-port'; machine: string; nth: number }
  | { do: 'kube-away'; forMs: number }
  | { do: 'kube-stale'; byMs: number; forMs: number };

/** `range`: a further key below `ranges/`. The others: one of the records that exist. */
export const BAD_RECORDS = ['range', 'block', 'index'] as const;
export type BadRecord = (typeof BAD_RECORDS)[number];

/**
 * What happens in a story: the acts of runtimes and operators, and the faults. Each is a value, so
 * that a story can be printed, cut down and told again.
 */
export type Act = UsualAct | FaultAct;

/** An act with its time. */
export interface Scene {
  /** Its number in the plan of its seed. */
  readonly id: number;
  /** Milliseconds since the start. */
  readonly at: number;
  readonly act: Act;
}

/** Classes of faults, which can be turned on one by one. */
export const FAULTS = [
  /** etcd is away for some seconds. */
  'away',
  /** Writes whose outcome the client does not learn, or learns late. */
  'uncertain',
  /** Programs are killed at any step. */
  'kill',
  /** Machines lose power. */
  'power',
  /** DEL comes late, twice or never. */
  'del',
  'ovs',
  /** Ports are removed under living pods. */
  'port',
  'kube',
  /** Wall clocks jump. */
  'clock',
  'compact',
  /** Records that cannot be read. */
  'records',
  /** The operator takes the kubeconfig of another cluster. */
  'cluster',
  /** The API server forgets pods that still run. */
  'forget',
  'set-back',
  'empty',
  'clone',
] as const;
export type Fault = (typeof FAULTS)[number];

/**
 * The classes under which something does not hold. `set-back`: a node that reads for the first time
 * in the moment after it may claim a block before a node that lost something has spoken (decision
 * 24): one story of some thousand.
 */
const NOT_YET: readonly Fault[] = ['set-back'];

/** The classes under which everything holds today. Every test run tells some seeds with them. */
export const HELD_TODAY: readonly Fault[] = FAULTS.filter((fault) => !NOT_YET.includes(fault));

/** Troubles of etcd after which nothing was done. */
export const AWAY: readonly EtcdTrouble[] = ['refused', 'lost'];
/** Troubles of etcd after which something may have been done. */
export const UNCERTAIN: readonly EtcdTrouble[] = ['unanswered', 'late', 'broken'];

/** Returns the class of a fault; undefined for what happens on any day. */
export function faultOf(act: Act): Fault | undefined {
  switch (act.do) {
    case 'etcd-trouble':
      return AWAY.includes(act.how) ? 'away' : 'uncertain';
    case 'etcd-set-back':
      return 'set-back';
    case 'etcd-empty':
      return 'empty';
    case 'etcd-compact':
      return 'compact';
    case 'kill-agent':
      return 'kill';
    case 'power-cut':
      return 'power';
    case 'kube-away':
    case 'kube-stale':
    case 'failed-phase':
      return 'kube';
    case 'bad-record':
      return 'records';
    case 'forget-pod':
      return 'forget';
    case 'lose-port':
      return 'port';
    case 'clone':
    case 'clock':
    case 'ovs':
      return act.do;
    case 'cnictl':
      if (act.cluster !== undefined) return 'cluster';
      return act.lives === undefined ? undefined : 'kill';
    case 'start':
      return act.lives === undefined ? undefined : 'kill';
    case 'stop':
    case 'renew':
      if (act.ending !== 'del') return 'del';
      return 'lives' in act ? 'kill' : undefined;
    case 'again':
    case 'gc':
    case 'give-back':
    case 'add-ranges':
      return undefined;
  }
}
