import { AWAY, BAD_RECORDS, UNCERTAIN, type Act, type Fault, type FaultAct } from './acts.ts';
import { OTHER_CLUSTERS } from './other-clusters.ts';
import type { Random } from './random.ts';

/** A class of faults that is an act of its own; `del` changes what the usual acts do. */
export type FaultKind = Exclude<Fault, 'del'>;

/** How often each fault happens, in proportion, where it is chosen. */
export const FAULT_WEIGHTS: Readonly<Record<FaultKind, number>> = {
  away: 3,
  uncertain: 5,
  kill: 5,
  power: 2,
  ovs: 2,
  port: 2,
  kube: 2,
  clock: 2,
  compact: 1,
  records: 1,
  cluster: 1,
  forget: 1,
  'set-back': 1,
  empty: 0.5,
  clone: 0.7,
};

/** The parts of a cluster that a fault can hit. */
export interface Victims {
  readonly machine: string;
  /** Undefined when there is none. */
  readonly pod: string | undefined;
  /** The name for a clone of the machine; undefined when there is one already. */
  readonly clone: string | undefined;
}

/** Later acts that belong to a fault have the time after it, in milliseconds. */
export type PlannedAct = readonly [afterMs: number, act: Act];

/** Returns a fault of that class, and what follows from it; nothing when it can hit nothing. */
export function planFault(random: Random, kind: FaultKind, victims: Victims): PlannedAct[] {
  const { machine, pod } = victims;
  const forMs = Math.round(random.between(500, random.pick([5_000, 20_000, 60_000])));
  const at = (act: FaultAct): PlannedAct[] => [[0, act]];
  switch (kind) {
    case 'away':
    case 'uncertain':
      return at({
        do: 'etcd-trouble',
        how: random.pick(kind === 'away' ? AWAY : UNCERTAIN),
        share: random.pick([0.2, 0.5, 1]),
        forMs,
        ...(random.chance(0.5) && { place: machine }),
      });
    case 'kill':
      return at({ do: 'kill-agent', machine, forMs });
    case 'power':
      return at({ do: 'power-cut', machine, forMs });
    case 'ovs':
      return at({ do: 'ovs', machine, how: random.pick(['hang', 'away']), forMs });
    case 'port':
      return at({ do: 'lose-port', machine, nth: random.below(20) });
    case 'kube':
      if (random.chance(0.3)) return at({ do: 'kube-away', forMs: forMs * 3 });
      if (pod !== undefined && random.chance(0.4))
        return [
          [0, { do: 'failed-phase', pod, forMs: 90_000 + forMs }],
          [0, { do: 'cnictl', argv: 'check --release --repair --yes' }],
        ];
      // Less than the grace of a check: older answers prove nothing to it.
      return at({ do: 'kube-stale', byMs: Math.round(random.between(0, 30_000)), forMs: forMs * 10 });
    case 'clock':
      return at({ do: 'clock', machine, byMs: random.pick([-3_600_000, -60_000, -5_000, 5_000, 60_000]) });
    case 'compact':
      return at({ do: 'etcd-compact' });
    case 'records':
      return at({
        do: 'bad-record',
        which: random.pick(BAD_RECORDS),
        nth: random.below(20),
        forMs: forMs * 4,
      });
    case 'cluster': {
      const argv = 'check --release --repair --yes';
      return [[0, { do: 'cnictl', argv, cluster: random.pick(OTHER_CLUSTERS) }]];
    }
    case 'forget':
      return pod === undefined ? [] : at({ do: 'forget-pod', pod });
    case 'set-back': {
      const agoMs = Math.round(random.between(1_000, 120_000));
      return at({ do: 'etcd-set-back', agoMs, newId: random.chance(0.3) });
    }
    case 'empty': {
      const how = random.pick(['new-data', 'same-cluster', 'keys-deleted'] as const);
      return [
        [0, { do: 'etcd-empty', how }],
        [random.between(0, 60_000), { do: 'add-ranges' }],
      ];
    }
    case 'clone':
      return victims.clone === undefined ? [] : at({ do: 'clone', machine, as: victims.clone });
  }
}
