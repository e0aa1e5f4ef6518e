import { formatAddress } from '../../ipam/model/address.ts';
import type { Block } from '../../ipam/model/block.ts';
import { decodeKept, keptIn } from '../../ipam/records/kept-record.ts';

/**
 * Returns how the keys of kept addresses and the blocks disagree: each follows from the other.
 * @param entries everything below `kept/`
 */
export function keptDisagreements(
  blocks: Iterable<Block>,
  entries: Iterable<{ readonly key: string; readonly value: string }>,
): string[] {
  const problems: string[] = [];
  const wanted = new Map<string, string>();
  for (const block of blocks)
    for (const [key, { address }] of keptIn(block)) {
      const before = wanted.get(key);
      const ip = formatAddress(address);
      if (before !== undefined) problems.push(`${before} and ${ip} are both kept as ${key}`);
      wanted.set(key, ip);
    }
  for (const { key, value } of entries) {
    const ip = formatAddress(decodeKept(key, value).address);
    if (wanted.get(key) !== ip)
      problems.push(`${key} says ${ip}, the blocks ${wanted.get(key) ?? 'nothing'}`);
    wanted.delete(key);
  }
  for (const [key, ip] of wanted) problems.push(`${ip} is kept, and ${key} is missing`);
  return problems;
}
