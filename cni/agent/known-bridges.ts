import { every, type Effects, type Timer } from '../../ipam/model/effects.ts';
import type { BridgeInfo } from '../platform/switch.ts';

/**
 * Interval, in milliseconds, at which the agent reads known bridges again even when OVSDB reports
 * no change. A port can move to another bridge without a change of its own row.
 */
const LOOK_EVERY_MS = 60_000;
/** Delay between a change and the read, in milliseconds, so that many changes share one read. */
const LOOK_AFTER_MS = 50;

type Look = Promise<BridgeInfo | undefined>;

/**
 * Caches the bridges that calls have asked for. The agent reads them again in the background when
 * something on them may have changed, so that a call rarely waits for Open vSwitch.
 */
export class KnownBridges {
  readonly #look: (bridge: string) => Look;
  /** The last read of each bridge, finished or not; undefined when the bridge may have changed. */
  readonly #bridges = new Map<string, Look | undefined>();
  readonly #effects: Effects;
  readonly #regularly: Timer;
  #soon: Timer | undefined;

  /** @param look reads the bridge from Open vSwitch; resolves to undefined when there is none */
  constructor(look: (bridge: string) => Look, effects: Effects) {
    this.#look = look;
    this.#effects = effects;
    this.#regularly = every(effects, LOOK_EVERY_MS, () => this.#lookAt([...this.#bridges.keys()]));
  }

  /** Rejects when Open vSwitch must be asked and the request fails. */
  async get(bridge: string): Look {
    const known = await this.#bridges.get(bridge)?.catch(() => undefined);
    // The cache keeps no missing bridge: each call asks for it again.
    return known ?? (await this.#lookFor(bridge));
  }

  /** Marks every known bridge as possibly changed and schedules a read. */
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
