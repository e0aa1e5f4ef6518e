import { usedSlots } from '../model/block.ts';
import type { Ipam } from '../node/ipam.ts';
import { HISTORY } from '../records/keys.ts';
import { readAgain } from '../store/store.ts';
import { scanBlocks } from './views.ts';

/** The member of a history record, as `encodeLifetime` writes it. */
const NODE = /"node":("(?:[^"\\]|\\.)*")/;

/**
 * Returns the nodes that had an address in the past, as far as the history reaches. Reads the whole
 * history, page by page: for the answer to an unknown name.
 * @throws IpamError `store-…`
 */
export function pastNodes({ store }: Ipam): Promise<ReadonlySet<string>> {
  return readAgain(async () => {
    const names = new Set<string>();
    for await (const page of store.scan(HISTORY)) {
      for (const { value } of page) {
        const [, text] = NODE.exec(value) ?? [];
        if (text !== undefined) names.add(JSON.parse(text) as string);
      }
    }
    return names;
  });
}

/**
 * Returns the pods that have an address, as `NAMESPACE/NAME`. Reads every block.
 * @throws IpamError `store-…`
 */
export function podNames(ipam: Ipam): Promise<ReadonlySet<string>> {
  return readAgain(async () => {
    const names = new Set<string>();
    for await (const { blocks } of scanBlocks(ipam)) {
      for (const { block } of blocks)
        for (const { slot } of usedSlots(block, ({ owner }) => owner.podName !== undefined))
          names.add(`${slot.owner.podNamespace ?? ''}/${slot.owner.podName ?? ''}`);
    }
    return names;
  });
}
