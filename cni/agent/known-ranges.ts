import type { Range } from '../../ipam/model/range.ts';
import { readRanges } from '../../ipam/store/ranges.ts';
import type { Store } from '../../ipam/store/store.ts';

/** The ranges of one etcd, as they were last read. */
export class KnownRanges {
  readonly #store: Store;
  /** By their keys. */
  #known: ReadonlyMap<string, Range> = new Map();

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Reads all ranges. One whose record cannot be read is as it was when it could be.
   * @throws IpamError `store-…`
   */
  async read(): Promise<readonly Range[]> {
    const { ranges, unreadable } = await readRanges(this.#store);
    const before = this.#known;
    this.#known = new Map([
      ...unreadable.flatMap(({ key }): [string, Range][] => {
        const range = before.get(key);
        return range ? [[key, range]] : [];
      }),
      ...ranges.map(({ range, entry }) => [entry.key, range] as const),
    ]);
    return [...this.#known.values()];
  }
}
