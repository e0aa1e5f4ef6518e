import type { KnownState } from '../../ipam/events/state.ts';
import { mapSource, type MapSource } from '../../ipam/map/map.ts';

/** The map's source of a state that is followed: it is made again when the state has changed. */
export class MapData {
  readonly #state: () => KnownState | undefined;
  #made: { readonly revision: number; readonly records: unknown; readonly source: MapSource } | undefined;

  /** @param state undefined until etcd was read for the first time */
  constructor(state: () => KnownState | undefined) {
    this.#state = state;
  }

  /** Returns the source, and of which revision it is. */
  now(): { readonly revision: number; readonly source: MapSource } | undefined {
    const state = this.#state();
    if (!state) return undefined;
    const { revision, records } = state;
    // An etcd that was set back may come to the same revision again: its records are others then.
    if (this.#made?.revision !== revision || this.#made.records !== records)
      this.#made = { revision, records, source: mapSource(state) };
    return this.#made;
  }
}
