import type { Unlock } from '../../cni/platform/platform.ts';
import { CniError } from '../../cni/protocol/errors.ts';
import type { Attachment } from '../../ipam/model/attachment.ts';
import type { Process } from './process.ts';

/** As in cni/host/lock.ts, in milliseconds. */
const PATIENCE_MS = 30_000;
const LOOK_EVERY_MS = 10;

/** The locks of attachments on one machine, as fcntl(2) gives them. */
export class SimLocks {
  readonly #holders = new Map<string, Process>();
  /** When each lock was last taken, in milliseconds since the start of the simulation. */
  readonly takenAt = new Map<string, number>();

  /** Returns undefined when another call holds the lock. */
  tryLock(process: Process, attachment: Attachment): Unlock | undefined {
    process.mustStep();
    const name = `${attachment.containerId}/${attachment.ifname}`;
    if (this.#holders.has(name)) return undefined;
    this.#holders.set(name, process);
    this.takenAt.set(attachment.containerId, process.sim.scheduler.time);
    let held = true;
    const unlock = (): void => {
      if (held) this.#holders.delete(name);
      held = false;
    };
    process.onEnd(unlock);
    return unlock;
  }

  /** @throws CniError 11 when another call holds the lock too long */
  async lock(process: Process, attachment: Attachment): Promise<Unlock> {
    const { monotonic } = process.effects;
    const expiresAt = monotonic() + PATIENCE_MS;
    for (;;) {
      const unlock = this.tryLock(process, attachment);
      if (unlock) return unlock;
      if (monotonic() >= expiresAt)
        throw new CniError('try-again-later', `another call for ${attachment.containerId} is under way`);
      await process.wait(LOOK_EVERY_MS);
    }
  }
}
