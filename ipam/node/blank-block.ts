import type { Cidr } from '../model/address.ts';
import { newBlock, type Block } from '../model/block.ts';
import type { Effects } from '../model/effects.ts';
import type { Range } from '../model/range.ts';
import { firstSequence, historyOfBlock } from '../records/history-record.ts';
import { scanAll, type Store } from '../store/store.ts';

/** Makes an unclaimed block. Its history continues where that of its former holders ended. */
export async function blankBlock(
  { store, effects }: { readonly store: Store; readonly effects: Effects },
  range: Range,
  cidr: Cidr,
  node: string,
): Promise<Block> {
  const history = await scanAll(store, historyOfBlock(range, cidr), { keysOnly: true });
  return newBlock(range, cidr, node, effects.now(), firstSequence(range, history));
}
