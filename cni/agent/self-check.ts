import type { Effects } from '../../ipam/model/effects.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { ServiceManager } from '../host/notify.ts';
import type { Log } from '../platform/platform.ts';

/** How often the agent looks after its sockets, in milliseconds. */
const EVERY_MS = 5_000;

/** A socket that can be made again: the agent's own, or that of its metrics. */
export interface Restorable {
  /** @returns whether that was necessary */
  restore(): Promise<boolean>;
}

/** What the agent looks after. */
export interface SelfCheckParts {
  readonly sockets: readonly Restorable[];
  /** Asks the agent a question through its own socket. */
  readonly ask: () => Promise<boolean>;
  readonly manager: ServiceManager | undefined;
  readonly log: Log;
  readonly effects: Pick<Effects, 'schedule'>;
}

/**
 * Keeps the agent within reach: makes sockets again that somebody removed, and tells the service
 * manager that the agent lives only when it has answered a question as it answers a plugin.
 */
export class SelfCheck {
  readonly #parts: SelfCheckParts;
  readonly #everyMs: number;
  #timer: { cancel: () => void } | undefined;
  #isStopped = false;

  constructor(parts: SelfCheckParts) {
    this.#parts = parts;
    // Two questions may fail before the service manager loses patience.
    this.#everyMs = Math.min(EVERY_MS, (parts.manager?.watchdogMs ?? Infinity) / 3);
  }

  start(): void {
    this.#tell('READY=1');
    this.#next();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#tell('STOPPING=1');
  }

  /** Looks once. Never rejects. */
  async look(): Promise<void> {
    for (const socket of this.#parts.sockets) await this.#restore(socket);
    if (this.#parts.manager?.watchdogMs === undefined) return;
    try {
      if (await this.#parts.ask()) this.#tell('WATCHDOG=1');
      else this.#parts.log.warn('the agent does not answer itself');
    } catch (error) {
      this.#parts.log.warn('the agent does not answer itself', { reason: messageOf(error) });
    }
  }

  #next(): void {
    this.#timer = this.#parts.effects.schedule(this.#everyMs, () => {
      void this.look().then(() => {
        if (!this.#isStopped) this.#next();
      });
    });
  }

  async #restore(socket: Restorable): Promise<void> {
    try {
      if (await socket.restore()) this.#parts.log.warn('a socket was gone, and is there again');
    } catch (error) {
      this.#parts.log.error('a socket is gone, and cannot be made again', { reason: messageOf(error) });
    }
  }

  #tell(state: string): void {
    try {
      this.#parts.manager?.tell(state);
    } catch (error) {
      this.#parts.log.warn('the service manager cannot be told', { state, reason: messageOf(error) });
    }
  }
}
