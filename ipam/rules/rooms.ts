import { ruleOf } from '../model/holder.ts';
import type { Ipam } from '../node/ipam.ts';
import { decodeBlock } from '../records/block-record.ts';
import { blockWrites } from '../records/block-writes.ts';
import { BLOCKS } from '../records/keys.ts';
import { roomKeyOf } from '../records/own-record.ts';
import { same } from '../records/transaction.ts';
import { readRecord } from '../records/unreadable.ts';
import { readAgain } from '../store/store.ts';

/**
 * Writes the keys of the rule's own blocks with room that etcd has lost. A block that changes
 * meanwhile is left: its change writes its key, or it is told the next time.
 * @returns how many keys were written
 * @throws IpamError `store-…`
 */
export function restoreRooms({ store }: Pick<Ipam, 'store'>, rule: string): Promise<number> {
  return readAgain(async () => {
    let written = 0;
    for await (const page of store.scan(BLOCKS))
      for (const entry of page) {
        const read = readRecord(entry, decodeBlock);
        if ('unreadable' in read || ruleOf(read.value) !== rule) continue;
        const key = roomKeyOf(read.value);
        const [there] = key === undefined ? [undefined] : await store.get([key]);
        if (key === undefined || there) continue;
        const writes = blockWrites([{ before: undefined, after: read.value }]);
        const missing = writes.filter((write) => write.key === key);
        if ((await store.commit([same(entry)], missing)) !== undefined) written += 1;
      }
    return written;
  });
}
