import { cidrSpan, commonSpan, type Span } from '../model/address.ts';
import { blockAt, blockPrefixLength, type Range } from '../model/range.ts';
import { cidrOfBlockKey, cidrTextOf } from '../records/keys.ts';

/** What the keys below `blocks/<range>/` occupy, whether their values can be read or not. */
export interface Occupied {
  /** Texts of the claimed blocks (`10.20.0.16/28`). */
  readonly blocks: ReadonlySet<string>;
  /** Whole blocks that a key of another size or off their boundary touches. */
  readonly covered: readonly Covered[];
}

/** Whole blocks, and the key that bars them. */
export interface Covered extends Span {
  readonly key: string;
}

/**
 * Returns what the block keys of a range occupy. A key of the usual form is one block; such keys
 * are not parsed, because a large range has many. Any other key bars all blocks that it touches.
 */
export function occupiedBy(range: Range, keys: readonly string[]): Occupied {
  const blocks = new Set<string>();
  const covered: Covered[] = [];
  const isUsual = usualForm(range);
  for (const key of keys) {
    const text = cidrTextOf(key);
    if (isUsual(text)) blocks.add(text);
    else covered.push(...blocksTouchedBy(range, key));
  }
  return { blocks, covered };
}

/** Returns a test for texts of subnets of the block's size, on a boundary of that size. */
function usualForm(range: Range): (text: string) => boolean {
  const { family } = range.cidr.base;
  const end = `/${blockPrefixLength(range)}`;
  const [separator, radix] = family === 4 ? ['.', 10] : [':', 16];
  return (text) => {
    if (!text.endsWith(end)) return false;
    const last = text.slice(text.lastIndexOf(separator) + 1, -end.length);
    return (last === '' ? 0 : Number.parseInt(last, radix)) % range.blockSize === 0;
  };
}

function blocksTouchedBy(range: Range, key: string): Covered[] {
  const cidr = cidrOfBlockKey(key);
  const inside = cidr && commonSpan(cidrSpan(cidr), cidrSpan(range.cidr));
  if (!inside) return [];
  const { first } = cidrSpan(blockAt(range, inside.first));
  const { last } = cidrSpan(blockAt(range, inside.last));
  return [{ first, last, key }];
}
