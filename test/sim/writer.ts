import type { Act, Fault, Scene } from './acts.ts';
import { FAULT_WEIGHTS, planFault, type FaultKind } from './fault-plan.ts';
import { ENDINGS, type Ending } from './kubelet.ts';
import type { Random } from './random.ts';
import type { Setup } from './setup.ts';

/**
 * Acts of a story, and the time for each on average, in milliseconds. Most stories are short: what
 * breaks a rule takes few acts, and many stories begin differently more often than few long ones.
 */
const ACTS = [
  { least: 4, most: 12 },
  { least: 4, most: 12 },
  { least: 10, most: 25 },
  { least: 20, most: 50 },
] as const;
const PER_ACT_MS = { least: 1_000, most: 6_000 };
/** Most acts follow at once, so that they meet; a share of them after a long pause. */
const PAUSES = { share: 0.3, shortMs: [5, 50, 500] };
/** How often any fault happens, in proportion to the usual acts. */
const FAULTS_TOGETHER = [5, 15, 30];
/** By how much an act may be more or less frequent in one story than in another. */
const EMPHASES = [0.3, 1, 1, 4];
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

/** Writes the acts of one story. */
export class Writer {
  readonly #random: Random;
  readonly #machines: string[];
  readonly #faults: readonly Fault[];
  /** How often each kind of act happens, in proportion. */
  readonly #weights: Partial<Record<UsualKind | FaultKind, number>>;
  readonly #pods: string[] = [];
  #podsMade = 0;
  readonly #scenes: Scene[] = [];

  constructor(random: Random, { machines }: Setup, faults: readonly Fault[]) {
    this.#random = random;
    this.#machines = [...machines];
    this.#faults = faults;
    this.#weights = weightsOf(random.fork('weights'), faults);
  }

  write(): Scene[] {
    const random = this.#random;
    const { least, most } = random.pick(ACTS);
    const count = least + random.below(most - least);
    const perActMs = random.between(PER_ACT_MS.least, PER_ACT_MS.most);
    let at = 1_000;
    while (this.#scenes.length < count) {
      at += random.chance(PAUSES.share)
        ? random.between(0, (2 * perActMs) / PAUSES.share)
        : random.between(0, random.pick(PAUSES.shortMs));
      this.#add(at);
    }
    return this.#scenes.sort((a, b) => a.at - b.at);
  }

  #put(at: number, act: Act): void {
    this.#scenes.push({ id: this.#scenes.length + 1, at: Math.round(at), act });
  }

  #add(at: number): void {
    const kind = this.#random.weighted<UsualKind | FaultKind>(this.#weights);
    const machine = this.#random.pick(this.#machines);
    if (kind in USUAL) this.#addUsual(at, kind as UsualKind, machine);
    else this.#addFault(at, kind as FaultKind, machine);
  }

  #addUsual(at: number, kind: UsualKind, machine: string): void {
    switch (kind) {
      case 'start': {
        const pod = `p${++this.#podsMade}`;
        this.#pods.push(pod);
        this.#put(at, { do: 'start', machine, pod, ...this.#lives(0.15), ending: this.#ending() });
        return;
      }
      case 'stop': {
        const pod = this.#pods.splice(this.#random.below(this.#pods.length), 1)[0];
        if (pod === undefined) return;
        this.#put(at, { do: 'stop', pod, ending: this.#ending(), ...this.#lives(0.1) });
        return;
      }
      case 'renew': {
        const [pod, ending] = [this.#anyPod(), this.#ending()];
        // A runtime calls no DEL for a container that it has started again.
        const same = this.#random.chance(0.3) && ending !== 'twice' && ending !== 'late';
        if (pod !== undefined) this.#put(at, { do: 'renew', pod, ending, same });
        return;
      }
      case 'again': {
        const pod = this.#anyPod();
        const verb = this.#random.pick(['ADD', 'CHECK'] as const);
        if (pod !== undefined) this.#put(at, { do: 'again', pod, verb });
        return;
      }
      case 'gc':
      case 'give-back':
        this.#put(at, { do: kind, machine });
        return;
      case 'check':
      case 'report':
      case 'drain-range':
      case 'drain-node':
      case 'return-blocks':
        this.#addCommand(at, kind, machine);
    }
  }

  #addCommand(
    at: number,
    kind: 'check' | 'report' | 'drain-range' | 'drain-node' | 'return-blocks',
    machine: string,
  ): void {
    const put = (argv: string, afterMs = 0): void =>
      this.#put(at + afterMs, { do: 'cnictl', argv, ...this.#lives(0.1) });
    const laterMs = this.#random.between(1_000, 60_000);
    switch (kind) {
      case 'check':
        put('check --release --repair --yes');
        return;
      case 'report':
        put('check --save report.json');
        // The check looks twice, a minute apart.
        put('release --from-report report.json --yes --even-if-no-pods', 90_000 + laterMs);
        return;
      case 'drain-range':
        put('range drain blue');
        put('range undrain blue', laterMs);
        return;
      case 'drain-node':
        put(`node drain ${machine}`);
        put(`node undrain ${machine}`, laterMs);
        return;
      case 'return-blocks':
        put('block return --idle 0s --all --yes');
        return;
    }
  }

  #addFault(at: number, kind: FaultKind, machine: string): void {
    const name = `${machine}c`;
    const clone = this.#machines.includes(name) ? undefined : name;
    for (const [afterMs, act] of planFault(this.#random, kind, { machine, pod: this.#anyPod(), clone })) {
      this.#put(at + afterMs, act);
      if (act.do === 'clone') this.#machines.push(act.as);
    }
  }

  #anyPod(): string | undefined {
    return this.#pods[this.#random.below(this.#pods.length)];
  }

  #ending(): Ending {
    const isAmiss = this.#faults.includes('del') && this.#random.chance(0.4);
    return isAmiss ? this.#random.pick(ENDINGS) : 'del';
  }

  #lives(probability: number): { lives?: number } {
    if (!this.#faults.includes('kill') || !this.#random.chance(probability)) return {};
    return { lives: Math.round(this.#random.between(LIVES.least, LIVES.most)) };
  }
}

/** Stories differ in what they are full of. */
function weightsOf(random: Random, faults: readonly Fault[]): Partial<Record<UsualKind | FaultKind, number>> {
  const usual = Object.entries(USUAL).map(([kind, weight]) => [kind, weight * random.pick(EMPHASES)]);
  const kinds = faults.filter((fault) => fault !== 'del');
  const all = kinds.reduce((sum, kind) => sum + FAULT_WEIGHTS[kind], 0);
  // A story with one rare kind of faults has as many faults as one with all kinds.
  const together = random.pick(FAULTS_TOGETHER);
  const unusual = kinds.map((kind) => [kind, (FAULT_WEIGHTS[kind] / all) * together]);
  return Object.fromEntries([...usual, ...unusual]) as Partial<Record<UsualKind | FaultKind, number>>;
}
