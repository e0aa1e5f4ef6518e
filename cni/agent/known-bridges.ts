import { every, type Effects, type Timer } from '../../ipam/model/effects.ts';
import type { BridgeInfo } from '../platform/platform.ts';

/** How often bridges are looked at anew, in milliseconds, also where no change is told: a port may be moved to another bridge without a change of its own. */
const LOOK_EVERY_MS = 60_000;
/** How long after a change they are looked at, in milliseconds, so that many changes are one look. */
const LOOK_AFTER_MS = 50;

type Look = Promise<BridgeInfo | undefined>;

/** Bridges that calls have asked for. They are looked at again when something on them may have changed: hardly ever must a call wait for that. */
export class KnownBridges {
  readonly #look: (bridge: string) => Look;
  /** As they are, or will be known to be when the answer is here; undefined where they may be different by now. */
  readonly #bridges = new Map<string, Look | undefined>();
  readonly #effects: Effects;
  readonly #regularly: Timer;
  #soon: Timer | undefined;

  /** @param look asks Open vSwitch: undefined where there is no such bridge */
  constructor(look: (bridge: string) => Look, effects: Effects) {
    this.#look = look;
    this.#effects = effects;
    this.#regularly = every(effects, LOOK_EVERY_MS, () => this.#lookAt([...this.#bridges.keys()]));
  }

  /** Rejects where it must be asked for, and that fails. */
  async get(bridge: string): Look {
    const known = await this.#bridges.get(bridge)?.catch(() => undefined);
    // A bridge that is missing is looked for each time.
    return known ?? (await this.#lookFor(bridge));
  }

  /** Which bridges there are, or what is on them, may be different from now on. */
  changed(): void {
    for (const bridge of this.#bridges.keys()) this.#bridges.set(bridge, undefined);
    this.#soon ??= this.#effects.schedule(LOOK_AFTER_MS, () => {
      this.#soon = undefined;
      this.#lookAt([...this.#bridges].flatMap(([bridge, known]) => (known ? [] : [bridge])));
    });
  }

  close(): void {
    this.#regularly.cancel();
    this.#soon?.cancel();
  }

  #lookAt(bridges: readonly string[]): void {
    for (const bridge of bridges) void this.#lookFor(bridge);
  }

  #lookFor(bridge: string): Look {
    const info = this.#look(bridge);
    this.#bridges.set(bridge, info);
    const forget = (): void => {
      if (this.#bridges.get(bridge) === info) this.#bridges.delete(bridge);
    };
    info.then((found) => found ?? forget(), forget);
    return info;
  }
}
