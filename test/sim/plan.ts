import { AWAY, FAULTS, UNCERTAIN, type Act, type Fault, type Scene } from './acts.ts';
import { ENDINGS, type Ending } from './kubelet.ts';
import { Random } from './random.ts';
import type { RangeSetup, Setup } from './setup.ts';

/** A story: a cluster, and what happens to it. */
export interface Plan {
  readonly seed: number;
  readonly setup: Setup;
  /** In the order of their times. */
  readonly scenes: readonly Scene[];
}

/** Acts of a story, and its length in milliseconds. */
const ACTS = { least: 15, most: 60 };
const LENGTH_MS = { least: 30_000, most: 240_000 };
/** Most acts follow at once, so that they meet; a share of them after a long pause. */
const PAUSES = { share: 0.3, shortMs: [5, 50, 500] };
/** By how much an act may be more or less frequent in one story than in another. */
const EMPHASES = [0.3, 1, 1, 4];
/** The share of the allowed faults that a story has: few at a time show more than all at once. */
const SHARE_OF_FAULTS = 0.5;
/** Steps after which a program is killed. An ADD makes some twenty. */
const LIVES = { least: 1, most: 30 };

/** How often each act of any day happens, in proportion. */
const USUAL = {
  start: 40,
  stop: 22,
  renew: 6,
  again: 3,
  gc: 1,
  'give-back': 3,
  check: 2,
  report: 1,
  'drain-range': 1,
  'drain-node': 1,
  'return-blocks': 1,
} as const;
type UsualKind = keyof typeof USUAL;

/** A class of faults that is an act of its own; the others change what the usual acts do. */
type FaultKind = Exclude<Fault, 'del'>;

/** How often each fault happens, in proportion, where it is chosen. */
const UNUSUAL: Readonly<Record<FaultKind, number>> = {
  away: 3,
  uncertain: 5,
  kill: 5,
  power: 2,
  ovs: 2,
  kube: 2,
  clock: 2,
  compact: 1,
  forget: 1,
  'set-back': 1,
  empty: 0.5,
  clone: 0.7,
};

/** Expands a seed into a story with some of the allowed faults. */
export function makePlan(seed: number, allowed: readonly Fault[]): Plan {
  const random = new Random(seed).fork('plan');
  const setup = makeSetup(random.fork('setup'));
  const chosen = random.fork('faults');
  const faults = FAULTS.filter(
    (fault) => allowed.includes(fault) && chosen.fork(fault).chance(SHARE_OF_FAULTS),
  );
  const writer = new Writer(random.fork('acts'), setup, faults, usualWeights(random.fork('weights')));
  return { seed, setup, scenes: writer.write() };
}

function makeSetup(random: Random): Setup {
  const blockSize = random.pick([4, 4, 8]);
  const cooldownSeconds = random.pick([0, 2, 10, 30]);
  const range = (cidr: string, name: string): RangeSetup => ({ name, cidr, blockSize, cooldownSeconds });
  const dual = random.chance(0.2);
  return {
    machines: ['n1', 'n2', 'n3'].slice(0, 2 + random.below(2)),
    ranges: [
      range('10.1.0.0/27', 'blue'),
      ...(random.chance(0.3) ? [range('10.2.0.0/28', 'red')] : []),
      ...(dual ? [range('fd00::/122', 'six')] : []),
    ],
    families: dual ? ['ipv4', 'ipv6'] : ['ipv4'],
    probe: random.chance(0.15),
    endpoints: random.pick([1, 1, 3]),
    pageSize: random.pick([2, 5, 500]),
    etcdLatencyMs: random.pick([1, 1, 10, 50]),
    agents: random.chance(0.8),
    agentShare: random.pick([1, 1, 0.8, 0.5, 0]),
  };
}

/** Returns how often each usual act happens in one story: stories differ in their emphases. */
function usualWeights(random: Random): Record<UsualKind, number> {
  const weights = Object.entries(USUAL).map(([kind, weight]) => [kind, weight * random.pick(EMPHASES)]);
  return Object.fromEntries(weights) as Record<UsualKind, number>;
}

/** Writes the acts of one story. */
class Writer {
  readonly #random: Random;
  readonly #machines: string[];
  readonly #faults: readonly Fault[];
  readonly #usual: Readonly<Record<UsualKind, number>>;
  readonly #pods: string[] = [];
  #podsMade = 0;
  readonly #scenes: Scene[] = [];

  constructor(
    random: Random,
    { machines }: Setup,
    faults: readonly Fault[],
    usual: Readonly<Record<UsualKind, number>>,
  ) {
    this.#random = random;
    this.#usual = usual;
    this.#machines = [...machines];
    this.#faults = faults;
  }

  write(): Scene[] {
    const random = this.#random;
    const count = ACTS.least + random.below(ACTS.most - ACTS.least);
    const lengthMs = random.between(LENGTH_MS.least, LENGTH_MS.most);
    let at = 1_000;
    while (this.#scenes.length < count) {
      at += random.chance(PAUSES.share)
        ? random.between(0, (2 * lengthMs) / count / PAUSES.share)
        : random.between(0, random.pick(PAUSES.shortMs));
      this.#add(at);
    }
    return this.#scenes.sort((a, b) => a.at - b.at);
  }

  #put(at: number, act: Act): void {
    this.#scenes.push({ id: this.#scenes.length + 1, at: Math.round(at), act });
  }

  #has(fault: Fault): boolean {
    return this.#faults.includes(fault);
  }

  #add(at: number): void {
    const random = this.#random;
    const machine = random.pick(this.#machines);
    const faults: Partial<Record<FaultKind, number>> = {};
    for (const fault of this.#faults) if (fault !== 'del') faults[fault] = UNUSUAL[fault];
    const kind = random.weighted<UsualKind | FaultKind>({ ...this.#usual, ...faults });
    if (kind in USUAL) this.#addUsual(at, kind as UsualKind, machine);
    else this.#addFault(at, kind as FaultKind, machine);
  }

  #addUsual(at: number, kind: UsualKind, machine: string): void {
    const random = this.#random;
    switch (kind) {
      case 'start': {
        const pod = `p${++this.#podsMade}`;
        this.#pods.push(pod);
        this.#put(at, { do: 'start', machine, pod, ...this.#lives(0.15), ending: this.#ending() });
        return;
      }
      case 'stop': {
        const pod = this.#pods.splice(random.below(this.#pods.length), 1)[0];
        if (pod !== undefined)
          this.#put(at, { do: 'stop', pod, ending: this.#ending(), ...this.#lives(0.1) });
        return;
      }
      case 'renew': {
        const ending = this.#ending();
        // A runtime calls no DEL for a container that it has started again.
        const same = random.chance(0.3) && ending !== 'twice' && ending !== 'late';
        this.#withPod((pod) => this.#put(at, { do: 'renew', pod, ending, same }));
        return;
      }
      case 'again':
        this.#withPod((pod) => this.#put(at, { do: 'again', pod, verb: random.pick(['ADD', 'CHECK']) }));
        return;
      case 'gc':
      case 'give-back':
        this.#put(at, { do: kind, machine });
        return;
      case 'check':
        this.#put(at, { do: 'cnictl', argv: 'check --release --repair --yes', ...this.#lives(0.1) });
        return;
      case 'report':
        this.#putPair(
          at,
          'check --save report.json',
          'release --from-report report.json --yes --even-if-no-pods',
          90_000,
        );
        return;
      case 'drain-range':
        this.#putPair(at, 'range drain blue', 'range undrain blue');
        return;
      case 'drain-node':
        this.#putPair(at, `node drain ${machine}`, `node undrain ${machine}`);
        return;
      case 'return-blocks':
        this.#put(at, { do: 'cnictl', argv: 'block return --idle 0s --all --yes' });
        return;
    }
  }

  #addFault(at: number, fault: FaultKind, machine: string): void {
    const random = this.#random;
    const forMs = Math.round(random.between(500, 20_000));
    const place = random.chance(0.5) ? { place: machine } : {};
    const share = random.pick([0.2, 0.5, 1]);
    switch (fault) {
      case 'away':
        this.#put(at, { do: 'etcd-trouble', how: random.pick(AWAY), share, forMs, ...place });
        return;
      case 'uncertain': {
        const how = random.pick(UNCERTAIN);
        this.#put(at, { do: 'etcd-trouble', how, share, forMs, ...place });
        return;
      }
      case 'kill':
        this.#put(at, { do: 'kill-agent', machine, forMs });
        return;
      case 'power':
        this.#put(at, { do: 'power-cut', machine, forMs });
        return;
      case 'ovs':
        this.#put(at, { do: 'ovs', machine, how: random.pick(['hang', 'away']), forMs });
        return;
      case 'kube':
        this.#put(
          at,
          random.chance(0.3)
            ? { do: 'kube-away', forMs: forMs * 3 }
            : // Less than the grace of a check: older answers prove nothing to it.
              { do: 'kube-stale', byMs: Math.round(random.between(0, 30_000)), forMs: forMs * 10 },
        );
        return;
      case 'clock':
        this.#put(at, {
          do: 'clock',
          machine,
          byMs: random.pick([-3_600_000, -60_000, -5_000, 5_000, 60_000, 3_600_000]),
        });
        return;
      case 'compact':
        this.#put(at, { do: 'etcd-compact' });
        return;
      case 'forget':
        this.#withPod((pod) => this.#put(at, { do: 'forget-pod', pod }));
        return;
      case 'set-back':
        this.#put(at, {
          do: 'etcd-set-back',
          agoMs: Math.round(random.between(1_000, 120_000)),
          newId: random.chance(0.3),
        });
        return;
      case 'empty':
        this.#put(at, { do: 'etcd-empty', how: random.pick(['new-data', 'same-cluster', 'keys-deleted']) });
        this.#put(at + random.between(0, 60_000), { do: 'add-ranges' });
        return;
      case 'clone': {
        const as = `${machine}c`;
        if (this.#machines.includes(as)) return;
        this.#machines.push(as);
        this.#put(at, { do: 'clone', machine, as });
        return;
      }
    }
  }

  #withPod(use: (pod: string) => void): void {
    if (this.#pods.length > 0) use(this.#random.pick(this.#pods));
  }

  /** @param leastMs the shortest time between the two, in milliseconds */
  #putPair(at: number, first: string, second: string, leastMs = 1_000): void {
    this.#put(at, { do: 'cnictl', argv: first });
    this.#put(at + this.#random.between(leastMs, leastMs + 60_000), { do: 'cnictl', argv: second });
  }

  #ending(): Ending {
    return this.#has('del') && this.#random.chance(0.4) ? this.#random.pick(ENDINGS) : 'del';
  }

  #lives(probability: number): { lives?: number } {
    if (!this.#has('kill') || !this.#random.chance(probability)) return {};
    return { lives: Math.round(this.#random.between(LIVES.least, LIVES.most)) };
  }
}
