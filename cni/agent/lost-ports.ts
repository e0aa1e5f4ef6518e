import type { Attachment } from '../../ipam/model/attachment.ts';
import type { Effects, Timer } from '../../ipam/model/effects.ts';
import type { HostLink } from '../platform/platform.ts';
import { hostLinkName, linkAlias } from '../protocol/identity.ts';

/**
 * Pause between a change and the look at the links, in milliseconds. Many changes share one look,
 * and a DEL of a plugin deletes the link right after the port.
 */
const LOOK_AFTER_MS = 1_000;
/**
 * Shortest time between two calls of `repair`, in milliseconds: another program may remove each
 * port that a reconcile makes.
 */
const REPAIR_EVERY_MS = 10_000;

/** Receives what Open vSwitch reports of our ports and this agent did not bring about. */
export interface PortEvents {
  /** The attachment's port was removed or changed. */
  portChanged(attachment: Attachment): void;
  /** The attachment has a port now, for example after an ADD set up its interface once more. */
  portMade(attachment: Attachment): void;
  /** Any port may be missing: the connection was lost, or somebody made a bridge. */
  anyPortChanged(): void;
}

/**
 * Asks for a reconcile soon after living attachments may have lost their ports. A removed port
 * whose link is gone too is that of a DEL, and costs one look at the links, shared by all of a
 * second.
 */
export class LostPorts implements PortEvents {
  readonly #links: () => Promise<readonly HostLink[]>;
  readonly #repair: () => void;
  readonly #effects: Effects;
  /** By the name of the link: its alias. */
  readonly #changed = new Map<string, string>();
  #any = false;
  #timer: Timer | undefined;
  #repairedAt = -Infinity;

  /**
   * @param links returns the links of the host
   * @param repair reconciles the node soon
   */
  constructor(links: () => Promise<readonly HostLink[]>, repair: () => void, effects: Effects) {
    this.#links = links;
    this.#repair = repair;
    this.#effects = effects;
  }

  portChanged(attachment: Attachment): void {
    this.#changed.set(hostLinkName(attachment), linkAlias(attachment));
    this.#lookSoon();
  }

  portMade(attachment: Attachment): void {
    if (this.#changed.size > 0) this.#changed.delete(hostLinkName(attachment));
  }

  anyPortChanged(): void {
    this.#any = true;
    this.#lookSoon();
  }

  #lookSoon(): void {
    const waitMs = Math.max(LOOK_AFTER_MS, this.#repairedAt + REPAIR_EVERY_MS - this.#effects.monotonic());
    this.#timer ??= this.#effects.schedule(waitMs, () => {
      this.#timer = undefined;
      void this.#look();
    });
  }

  async #look(): Promise<void> {
    const isAny = this.#any;
    const changed = new Map(this.#changed);
    this.#any = false;
    this.#changed.clear();
    if (!isAny && (changed.size === 0 || !(await this.#isLinked(changed)))) return;
    this.#repairedAt = this.#effects.monotonic();
    this.#repair();
  }

  /** Returns whether one of the links exists, or nobody can tell. */
  async #isLinked(aliases: ReadonlyMap<string, string>): Promise<boolean> {
    try {
      const links = await this.#links();
      return links.some(({ name, alias }) => aliases.get(name) === alias);
    } catch {
      return true;
    }
  }
}
