/** One line of a story. */
export interface TraceLine {
  /** Milliseconds since the start of the simulation. */
  readonly time: number;
  /** The machine or program, such as `n1 agent`. */
  readonly where: string;
  readonly text: string;
  /** Addresses, blocks, pods and containers that the line is about. */
  readonly about: readonly string[];
  /** Whether the line matters to every story: a fault, or an act of the operator. */
  readonly always: boolean;
}

export interface Told {
  readonly text: string;
  readonly about?: readonly string[];
  readonly always?: boolean;
}

/**
 * Records what happens, for a run whose story is to be told. A search tells nothing: the texts are
 * functions, so that they cost nothing then.
 */
export class Trace {
  readonly lines: TraceLine[] = [];
  /** Whether anything is recorded. */
  readonly on: boolean;
  readonly #time: () => number;

  constructor(on: boolean, time: () => number) {
    this.on = on;
    this.#time = time;
  }

  tell(where: string, what: () => Told): void {
    if (!this.on) return;
    const { text, about = [], always = false } = what();
    this.lines.push({ time: this.#time(), where, text, about, always });
  }
}
