import { OpenFlowError } from './errors.ts';
import { MESSAGE, type Message } from './header.ts';
import { goesOn } from './multipart.ts';
import { switchErrorOf } from './switch-error.ts';

/** Messages that were sent together, and what the switch answers to them. */
export interface Exchange {
  /**
   * The bodies of the final answer. Rejects with OpenFlowError `refused` at the first error that
   * the switch answers to any of the messages.
   */
  readonly answered: Promise<Buffer[]>;
  /** True when no answer is waited for any more. */
  readonly isOver: boolean;
  /** Stops waiting. `answered` stays as it is. */
  abandon(): void;
}

interface Waiting extends Exchange {
  isOver: boolean;
  readonly first: number;
  readonly changes: number;
  readonly last: number;
  readonly bodies: Buffer[];
  readonly resolve: (bodies: Buffer[]) => void;
  readonly reject: (error: OpenFlowError) => void;
}

/**
 * The exchanges of one connection that the switch has not answered. It serves them in order, so
 * that any progress is progress for all. A switch that makes none for a while counts as silent.
 */
export class Exchanges {
  readonly #silentAfterMs: number;
  readonly #onSilence: () => void;
  readonly #waiting = new Set<Waiting>();
  #timer: NodeJS.Timeout | undefined;
  #steps = 0;

  /** @param onSilence called when there was no progress for `silentAfterMs` */
  constructor(silentAfterMs: number, onSilence: () => void) {
    this.#silentAfterMs = silentAfterMs;
    this.#onSilence = onSilence;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Begins to wait for the answer to messages with consecutive xids.
   * @param first xid of the first message
   * @param changes how many of them, from the first on, are changes
   * @param last xid of the message whose answer is the final one
   */
  begin(first: number, changes: number, last: number): Exchange {
    let [resolve, reject]: [Waiting['resolve'], Waiting['reject']] = [() => undefined, () => undefined];
    const answered = new Promise<Buffer[]>((...both) => ([resolve, reject] = both));
    // It may reject before its caller has sent everything and looks at it.
    answered.catch(() => undefined);
    const waiting: Waiting = {
      ...{ answered, first, changes, last, resolve, reject, bodies: [], isOver: false },
      abandon: () => this.#end(waiting),
    };
    this.#waiting.add(waiting);
    this.#timer ??= setTimeout(() => this.#isSilent(), this.#silentAfterMs);
    return waiting;
  }

  /** Takes a message from the switch. Ignores one that answers nothing. */
  receive({ type, xid, body }: Message): void {
    for (const waiting of this.#waiting) {
      if (xid < waiting.first || xid > waiting.last) continue;
      this.progress();
      if (type === MESSAGE.error) {
        this.#end(waiting);
        waiting.reject(refusal(body, xid - waiting.first, waiting.changes));
      } else if (xid === waiting.last) {
        waiting.bodies.push(body);
        if (type === MESSAGE.multipartReply && goesOn(body)) return;
        this.#end(waiting);
        waiting.resolve(waiting.bodies);
      }
      return;
    }
  }

  /** The switch has taken a part of what is sent, or answered. */
  progress(): void {
    this.#steps++;
    this.#timer?.refresh();
  }

  /** Ends every exchange with the error. */
  failAll(error: OpenFlowError): void {
    for (const waiting of this.#waiting) {
      this.#end(waiting);
      waiting.reject(error);
    }
  }

  #end(waiting: Waiting): void {
    waiting.isOver = true;
    this.#waiting.delete(waiting);
    if (this.#waiting.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #isSilent(): void {
    const steps = this.#steps;
    // This process may have been stopped itself: it first reads what arrived meanwhile.
    setImmediate(() => {
      if (this.#steps === steps && this.#waiting.size > 0) this.#onSilence();
    });
  }
}

/** @param index of the message that the switch refused, counted from the first change */
function refusal(body: Buffer, index: number, changes: number): OpenFlowError {
  const switchError = switchErrorOf(body);
  const change = index < changes ? index : undefined;
  const what = change === undefined ? 'the request' : `change ${change}`;
  return new OpenFlowError('refused', `the switch refused ${what}: ${switchError.name}`, {
    switchError,
    change,
  });
}
