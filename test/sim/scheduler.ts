import type { Timer } from '../../ipam/model/effects.ts';

interface Event {
  readonly time: number;
  /** Orders events of the same time. */
  readonly number: number;
  /** Undefined once cancelled. */
  work: (() => void) | undefined;
}

/**
 * Simulated time. Events happen one by one, in the order of their times; every computation that an
 * event sets off ends before the next event. Nothing else makes time pass, so a run depends on the
 * events alone.
 */
export class Scheduler {
  /** Milliseconds since the start of the simulation. */
  time = 0;
  /** How many events have happened. */
  events = 0;
  #stopped = false;
  #number = 0;
  /** A binary heap: no event is earlier than its parent. */
  readonly #queue: Event[] = [];

  /** @param ms how long from now; less than 0 counts as 0 */
  after(ms: number, work: () => void): Timer {
    const event: Event = { time: this.time + Math.max(0, ms), number: this.#number++, work };
    this.#push(event);
    return { cancel: () => void (event.work = undefined) };
  }

  /** Ends {@link run} after the event under way. */
  stop(): void {
    this.#stopped = true;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /**
   * Lets every event up to that time happen.
   * @param until milliseconds since the start
   * @param afterEach called when all computations of an event have ended
   */
  async run(until: number, afterEach: () => void = () => undefined): Promise<void> {
    // What was begun outside an event goes on first.
    await settled();
    for (let next = this.#queue[0]; next && next.time <= until && !this.#stopped; next = this.#queue[0]) {
      this.#pop();
      if (!next.work) continue;
      this.time = next.time;
      this.events++;
      next.work();
      await settled();
      afterEach();
    }
    if (!this.#stopped) this.time = Math.max(this.time, until);
  }

  #push(event: Event): void {
    const queue = this.#queue;
    let at = queue.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = queue[parent];
      if (!above || isBefore(above, event)) break;
      queue[at] = above;
      at = parent;
    }
    queue[at] = event;
  }

  #pop(): void {
    const queue = this.#queue;
    const last = queue.pop();
    if (!last || queue.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const right = queue[left + 1];
      const child = right && isBefore(right, queue[left] ?? right) ? left + 1 : left;
      const below = queue[child];
      if (!below || isBefore(last, below)) break;
      queue[at] = below;
      at = child;
    }
    queue[at] = last;
  }
}

const isBefore = (a: Event, b: Event): boolean =>
  a.time < b.time || (a.time === b.time && a.number < b.number);

/**
 * Resolves when every promise that can continue has continued: Node.js runs a tick only once the
 * queue of promise jobs is empty.
 */
const settled = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
