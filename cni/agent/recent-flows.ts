import type { Effects } from '../../ipam/model/effects.ts';
import type { BridgeFlows } from '../platform/switch.ts';

/** How long one look at the flows counts, in milliseconds, so that a burst of ADDs shares it. */
const LOOK_COUNTS_MS = 1_000;

type Look = Promise<BridgeFlows | 'absent' | undefined>;

/** Caches for a moment that bridges forward. No database tells of a change of flows. */
export class RecentFlows {
  readonly #look: (bridge: string) => Look;
  readonly #effects: Pick<Effects, 'monotonic'>;
  readonly #looks = new Map<string, { readonly at: number; readonly look: Look }>();

  /** @param look never rejects */
  constructor(look: (bridge: string) => Look, effects: Pick<Effects, 'monotonic'>) {
    this.#look = look;
    this.#effects = effects;
  }

  async get(bridge: string): Look {
    const known = this.#looks.get(bridge);
    const now = this.#effects.monotonic();
    if (known && now - known.at < LOOK_COUNTS_MS) return await known.look;
    const look = this.#look(bridge);
    this.#looks.set(bridge, { at: now, look });
    const flows = await look;
    // A bridge that was mended forwards for the very next call.
    const forwards = typeof flows === 'object' && flows.outputs;
    if (!forwards && this.#looks.get(bridge)?.look === look) this.#looks.delete(bridge);
    return flows;
  }
}
