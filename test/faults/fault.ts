/** A fault: what happens to the parts, and what an operator is told about it. */
import type { ClusterNeeds, FaultCluster } from './cluster.ts';

export type Group = 'etcd' | 'Open vSwitch' | 'agent' | 'machine';

export interface Fault {
  /** The name on the command line, such as `etcd-leader-killed`. */
  readonly name: string;
  readonly group: Group;
  /** A few words for the table, such as "leader killed". */
  readonly title: string;
  /** What the run did, as sentences. */
  readonly done: string;
  /** What an operator does about it, as sentences. */
  readonly todo: string;
  /**
   * Whether all nodes meet the fault, or the first node only. In the latter case no call of another
   * node may fail.
   */
  readonly hits: 'cluster' | 'first node';
  readonly needs?: ClusterNeeds;
  /** How the pods come and go meanwhile. Default: as many as there are go again. */
  readonly growing?: boolean;
  /** Matches the line that tells an operator of the fault. Absent: nothing does. */
  readonly sign?: RegExp;
  /** So short that perhaps no call is refused: then nothing need tell the operator. */
  readonly isBrief?: boolean;
  /**
   * How long the fault lasts at least after `begin`, in milliseconds; longer while the doctor looks
   * at it. Default: 8,000.
   */
  readonly lastsMs?: number;
  /** Whether nothing serves calls while the fault lasts. That time does not count as theirs. */
  readonly stopsCalls?: boolean;
  /** Runs before the first call of the burst. */
  prepare?(cluster: FaultCluster): Promise<void>;
  begin(cluster: FaultCluster): Promise<void> | void;
  heal(cluster: FaultCluster): Promise<void> | void;
}
