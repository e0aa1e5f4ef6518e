import type { KnownState } from '../events/state.ts';
import { compareAddresses, spanContains, cidrSpan, type Address, type Cidr } from '../model/address.ts';
import type { Block } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import type { Rule } from '../model/rule.ts';
import { BLOCKS, cidrOfBlockKey, rangeNameOfBlockKey } from '../records/keys.ts';

/** What the map is drawn from: the records of one moment. */
export interface MapSource {
  /** Sorted by name. */
  readonly ranges: readonly Range[];
  readonly rules: readonly Rule[];
  /** Returns the claimed blocks of the range, sorted by address. */
  blocksOf(range: string): readonly Block[];
  /** Returns the claimed blocks of the range whose records cannot be read. */
  unreadableOf(range: string): readonly Cidr[];
  /** Keys of all records that cannot be read. */
  readonly unreadable: readonly string[];
}

/** Returns the state as it is now. Later changes of the state do not change what is returned. */
export function mapSource(state: Pick<KnownState, 'records'>): MapSource {
  const ranges: Range[] = [];
  const rules: Rule[] = [];
  const blocks = new Map<string, Block[]>();
  const hidden = new Map<string, Cidr[]>();
  const unreadable: string[] = [];
  for (const [key, { known }] of state.records) {
    if (known?.kind === 'block') append(blocks, known.block.range, known.block);
    else if (known?.kind === 'range') ranges.push(known.range);
    else if (known?.kind === 'rule') rules.push(known.rule);
    else if (!known) {
      unreadable.push(key);
      const cidr = key.startsWith(BLOCKS) ? cidrOfBlockKey(key) : undefined;
      if (cidr) append(hidden, rangeNameOfBlockKey(key), cidr);
    }
  }
  const sorted = new Set<string>();
  return {
    ranges: ranges.sort(byName),
    rules: rules.sort(byName),
    unreadable,
    unreadableOf: (range) => hidden.get(range) ?? [],
    blocksOf: (range) => {
      const found = blocks.get(range) ?? [];
      // Sorted at the first look: most callers look at few ranges.
      if (!sorted.has(range)) found.sort((a, b) => compareAddresses(a.cidr.base, b.cidr.base));
      sorted.add(range);
      return found;
    },
  };
}

/** Returns the range that contains the address. */
export const rangeOfAddress = ({ ranges }: MapSource, address: Address): Range | undefined =>
  ranges.find(({ cidr }) => spanContains(cidrSpan(cidr), address));

/** Returns the claimed block that contains the address, in few steps. */
export function blockOfAddress(source: MapSource, range: string, address: Address): Block | undefined {
  const blocks = source.blocksOf(range);
  let [low, high] = [0, blocks.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const block = blocks[middle];
    if (block && compareAddresses(block.cidr.base, address) <= 0) low = middle + 1;
    else high = middle;
  }
  const block = blocks[low - 1];
  return block && spanContains(cidrSpan(block.cidr), address) ? block : undefined;
}

function append<T>(lists: Map<string, T[]>, key: string, value: T): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}

const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
  a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
