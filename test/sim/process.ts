import type { Effects } from '../../ipam/model/effects.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { Trace } from './trace.ts';

/** What all parts of one simulation share. */
export interface Sim {
  readonly scheduler: Scheduler;
  /** The root of all streams of chance. */
  readonly random: Random;
  readonly trace: Trace;
  /** Makes all latencies alike, so that a story has fewer surprises. */
  readonly calm: boolean;
}

/** The clocks of a machine. */
export interface Clocks {
  /** Milliseconds since 1970 by the wall clock, which may jump. */
  readonly now: () => number;
  /** Milliseconds since the boot. */
  readonly monotonic: () => number;
}

/** Thrown into a program that dies during a call that cannot wait, such as one to its disk. */
export class Killed extends Error {
  override readonly name = 'Killed';
}

/** What a killed program waits for. */
export const NEVER = new Promise<never>(() => undefined);

/** How often a step of a program takes much longer than usual, and how many times as long. */
const SLOW = { probability: 0.03, least: 5, most: 40 };

/**
 * A running program. Its code is real; all that it does outside passes through here, so that it can
 * be killed before each such step: what it has sent by then may still take effect, but it learns of
 * nothing any more.
 */
export class Process {
  readonly name: string;
  /** The machine that it runs on. */
  readonly place: string;
  readonly random: Random;
  readonly effects: Effects;
  readonly sim: Sim;
  #alive = true;
  #stepsLeft: number;
  #onEnd: (() => void)[] = [];

  /** @param lives how many steps the program makes before it is killed; Infinity: no such end */
  constructor(sim: Sim, place: string, name: string, clocks: Clocks, lives = Infinity) {
    this.sim = sim;
    this.place = place;
    this.name = `${place} ${name}`;
    this.random = sim.random.fork(this.name);
    this.#stepsLeft = lives;
    this.effects = {
      ...clocks,
      random: () => this.random.next(),
      pause: (ms) => this.wait(ms),
      yieldTurn: () => this.wait(0),
      schedule: (ms, work) =>
        sim.scheduler.after(ms, () => {
          if (this.#alive) work();
        }),
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Counts one step towards the outside. Returns whether the program lives to make it. */
  steps(): boolean {
    if (this.#alive && --this.#stepsLeft < 0) {
      this.sim.trace.tell(this.name, () => ({ text: 'is killed', always: true }));
      this.end();
    }
    return this.#alive;
  }

  /** For a step that returns at once. @throws Killed when the program does not live to make it */
  mustStep(): void {
    if (!this.steps()) throw new Killed(`${this.name} was killed`);
  }

  /** Ends the program at once. What it has locked is free again, as the kernel does it. */
  end(): void {
    if (!this.#alive) return;
    this.#alive = false;
    for (const work of this.#onEnd.splice(0)) work();
  }

  onEnd(work: () => void): void {
    this.#onEnd.push(work);
  }

  /** Resolves after that time, or never when the program is killed by then. */
  wait(ms: number): Promise<void> {
    if (!this.steps()) return NEVER;
    return new Promise((resolve) => {
      this.sim.scheduler.after(ms, () => {
        if (this.#alive) resolve();
      });
    });
  }

  /**
   * Does something on this machine that takes about `ms` milliseconds. It happens at the end of
   * that time, and not at all when the program is killed by then.
   */
  async act<T>(ms: number, work: () => T): Promise<T> {
    await this.wait(this.latency(ms));
    return work();
  }

  /**
   * Sends something outside that takes effect also when the program is killed meanwhile.
   * @param deadlineMs how long the program waits for the answer
   * @param late makes the error when no answer has come by then
   * @param send makes the request with the functions that pass the answer on; they do nothing once
   *   the program is dead or has given up
   */
  ask<T>(
    deadlineMs: number,
    late: () => Error,
    send: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
  ): Promise<T> {
    if (!this.steps()) return NEVER;
    return new Promise((resolve, reject) => {
      const once =
        <V>(pass: (value: V) => void) =>
        (value: V): void => {
          timer.cancel();
          if (this.#alive) pass(value);
        };
      const timer = this.sim.scheduler.after(deadlineMs, () => once(reject)(late()));
      send(once(resolve), once(reject));
    });
  }

  /** Returns how long something takes that usually takes `ms` milliseconds. */
  latency(ms: number): number {
    if (this.sim.calm) return ms;
    const usual = ms * this.random.between(0.3, 1.7);
    return this.random.chance(SLOW.probability) ? usual * this.random.between(SLOW.least, SLOW.most) : usual;
  }
}
