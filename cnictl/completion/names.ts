import { compareAddresses, formatAddress, type Address } from '../../ipam/model/address.ts';
import { usedSlots } from '../../ipam/model/block.ts';
import { listNames } from '../../ipam/node/name-records.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { podNames } from '../../ipam/query/known-names.ts';
import { scanBlocks } from '../../ipam/query/views.ts';
import { readAgain } from '../../ipam/store/store.ts';
import { readRanges } from '../../ipam/store/ranges.ts';
import { readRules } from '../../ipam/store/rules.ts';
import { podText } from '../render/pod.ts';
import type { Named } from './kinds.ts';

/** A word that may stand there, and what it is. */
export interface Candidate {
  readonly word: string;
  readonly about?: string;
}

/** Asks etcd for names. @throws IpamError `store-…` */
export async function namesOf(ipam: Ipam, named: Named): Promise<readonly Candidate[]> {
  switch (named) {
    case 'range':
      return (await readRanges(ipam.store)).ranges.map(({ range }) => ({ word: range.name }));
    case 'rule':
      return (await readRules(ipam.store)).rules.map(({ name, namespace, pod }) => ({
        word: name,
        about: `${namespace}/${pod}`,
      }));
    case 'node':
      return sorted((await listNames(ipam.store)).keys());
    case 'pod':
      return sorted(await podNames(ipam));
    case 'namespace':
      return sorted(new Set([...(await podNames(ipam))].map((pod) => pod.split('/')[0] ?? '')));
    case 'address':
      return await usedAddresses(ipam);
  }
}

const sorted = (names: Iterable<string>): Candidate[] => [...names].sort().map((word) => ({ word }));

function usedAddresses(ipam: Ipam): Promise<Candidate[]> {
  return readAgain(async () => {
    const found: { readonly address: Address; readonly about: string }[] = [];
    for await (const { blocks } of scanBlocks(ipam))
      for (const { block } of blocks)
        for (const { address, slot } of usedSlots(block)) found.push({ address, about: podText(slot.owner) });
    return found
      .sort((a, b) => compareAddresses(a.address, b.address))
      .map(({ address, about }) => ({ word: formatAddress(address), about }));
  });
}
