import { isKept } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import type { HeldBlock } from '../node/node-blocks.ts';

/**
 * Says how many addresses of the node's blocks are kept for pods that are gone, and by which rules;
 * empty if none is. Of other nodes' blocks an ADD reads nothing.
 * @param counts whether the pod could have had addresses of the range
 */
export function keptText(
  blocks: readonly HeldBlock[],
  counts: (range: Range) => boolean,
  node: string,
  now: number,
): string {
  const rules = blocks
    .filter(({ range }) => counts(range))
    .flatMap(({ block }) =>
      block.slots.flatMap((slot) => (slot.state === 'kept' && isKept(slot, now) ? slot.keep.rule : [])),
    );
  if (rules.length === 0) return '';
  const names = [...new Set(rules)].sort().map((name) => `'${name}'`);
  const which = `rule${names.length > 1 ? 's' : ''} ${names.join(', ')}`;
  const many =
    rules.length > 1 ? `${rules.length} addresses of node '${node}' are` : `an address of node '${node}' is`;
  return `; ${many} kept for pods that are gone (${which})`;
}
