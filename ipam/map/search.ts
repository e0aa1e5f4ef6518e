import {
  cidrSpan,
  familyBits,
  formatAddress,
  formatCidr,
  parseAddress,
  parseCidr,
  sameAddress,
  spansOverlap,
  type Address,
  type Cidr,
  type Span,
} from '../model/address.ts';
import { nodeOf, slotAddress, type Block, type KeptSlot, type Slot, type UsedSlot } from '../model/block.ts';
import { ruleOf } from '../model/holder.ts';
import type { Range } from '../model/range.ts';
import { cellOf } from './cells.ts';
import { fitOf, FOUND_KINDS, type Found, type FoundKind, type Wanted } from './found.ts';
import { addressAt, type MapSource } from './map.ts';
import { NameSums } from './search-names.ts';

export { FOUND_KINDS, type Found, type FoundKind } from './found.ts';

/** Words before a colon that ask for one kind: `ns:shop`. */
const KINDS: Readonly<Record<string, FoundKind>> = {
  ip: 'address',
  address: 'address',
  block: 'block',
  range: 'range',
  node: 'node',
  rule: 'rule',
  ns: 'namespace',
  namespace: 'namespace',
  pod: 'pod',
};

/** A container is found by so many characters of its ID. */
const SHORTEST_ID = 8;

/**
 * Finds an address, a subnet, a MAC, the name of a pod (also `NAMESPACE/NAME`), a namespace, a
 * node, a rule, a range, or the beginning of a container ID. `ns:shop` and `node:node-1` find all
 * addresses of it. What fits best comes first. Looks at every address of the cluster.
 */
export function searchMap(source: MapSource, text: string, now: number, limit: number): Found[] {
  const wanted = wantedOf(text);
  if (wanted.text === '' || limit <= 0) return [];
  const found = [...byNumber(source, wanted, now), ...byName(source, wanted, now)];
  const order = (each: Found): number => each.fit * FOUND_KINDS.length + FOUND_KINDS.indexOf(each.kind);
  const turns = new Map(found.map((each, i) => [each, i]));
  const turn = (each: Found): number => turns.get(each) ?? 0;
  return found.sort((a, b) => order(a) - order(b) || turn(a) - turn(b)).slice(0, limit);
}

function wantedOf(given: string): Wanted {
  const text = given.trim().toLowerCase();
  const [, word = '', rest = ''] = /^([a-z]+):\s*(.*)$/.exec(text) ?? [];
  const kind = Object.hasOwn(KINDS, word) ? KINDS[word] : undefined;
  return kind ? { text: rest, kind } : { text, kind: undefined };
}

/** What an address, a subnet, a MAC or the beginning of an address finds. */
function byNumber(source: MapSource, { text, kind }: Wanted, now: number): Found[] {
  const address = addressOf(text);
  if (address) {
    const cell = kind === undefined || kind === 'address' ? addressAt(source, address, now) : undefined;
    const ofRange = cell && { range: cell.range.name, block: cell.cidr, state: cell.state };
    return ofRange ? [{ kind: 'address', text: formatAddress(address), fit: 0, address, ...ofRange }] : [];
  }
  const span = spanOf(text);
  if (!span) return [];
  const isExact = (cidr: Cidr): boolean =>
    sameAddress(cidrSpan(cidr).first, span.first) && sameAddress(cidrSpan(cidr).last, span.last);
  return source.ranges
    .filter(({ cidr }) => spansOverlap(cidrSpan(cidr), span))
    .flatMap((range) => [
      ...(kind === undefined || kind === 'range' ? [rangeFound(range, isExact(range.cidr) ? 0 : 1)] : []),
      ...(kind === undefined || kind === 'block' ? source.blocksOf(range.name) : [])
        .filter(({ cidr }) => spansOverlap(cidrSpan(cidr), span))
        .map((block) => blockFound(block, isExact(block.cidr) ? 0 : 1)),
    ]);
}

const rangeFound = (range: Range, fit: Found['fit']): Found => ({
  kind: 'range',
  text: range.name,
  fit,
  range: range.name,
});

const blockFound = ({ range, cidr, node }: Block, fit: Found['fit']): Found => ({
  ...{ kind: 'block', text: formatCidr(cidr), fit, range, block: cidr, holder: node },
});

/** What a name finds, and the beginning of a container ID. */
function byName(source: MapSource, wanted: Wanted, now: number): Found[] {
  const { text, kind } = wanted;
  const found: Found[] = [];
  const sums = new NameSums(wanted);
  for (const rule of source.rules) sums.addRule(rule.name);
  for (const range of source.ranges) {
    const fit = kind === undefined || kind === 'range' ? fitOf(range.name, text) : undefined;
    if (fit !== undefined) found.push(rangeFound(range, fit));
    for (const block of source.blocksOf(range.name)) {
      sums.addBlock(block);
      for (let index = 0; index < block.slots.length; index++) {
        const slot = block.slots[index];
        if (slot?.state !== 'used' && slot?.state !== 'kept') continue;
        sums.addSlot(block, slot);
        const fits = slotFit(block, slot, wanted);
        const state = fits === undefined ? 'free' : cellOf(slot, now, range.cooldownMs);
        if (fits === undefined || state === 'free') continue;
        const address = slotAddress(block, index);
        const pod = podNameOf(slot);
        const named = pod === undefined ? 'address' : 'pod';
        found.push({
          ...{ kind: named, text: pod ?? formatAddress(address), fit: fits, range: block.range },
          ...{ block: block.cidr, address, state },
        });
      }
    }
  }
  return [...found, ...sums.found()];
}

/** Returns how well the owner of a slot fits; undefined: not at all. */
function slotFit(block: Block, slot: UsedSlot | KeptSlot, { text, kind }: Wanted): Found['fit'] | undefined {
  switch (kind) {
    case 'namespace':
      return fitOf(namesOf(slot).namespace, text);
    case 'node':
      return slot.state === 'used' ? fitOf(nodeOf(block, slot), text) : undefined;
    case 'rule':
      return ruleFit(block, slot.keep?.rule, text);
    case undefined:
    case 'pod': {
      const { namespace, name, containerId } = namesOf(slot);
      if (text.length >= SHORTEST_ID && containerId.startsWith(text)) return 1;
      return text.includes('/') ? fitOf(`${namespace}/${name}`, text) : fitOf(name, text);
    }
    case 'address':
    case 'block':
    case 'range':
      return undefined;
  }
}

const ruleFit = (block: Block, keptBy: string | undefined, text: string): Found['fit'] | undefined =>
  fitOf(ruleOf(block) ?? keptBy ?? '', text);

interface Names {
  readonly namespace: string;
  readonly name: string;
  readonly containerId: string;
}

function namesOf(slot: Slot): Names {
  if (slot.state === 'kept') return { ...slot.pod, containerId: '' };
  if (slot.state !== 'used') return { namespace: '', name: '', containerId: '' };
  const { podNamespace = '', podName = '', containerId } = slot.owner;
  return { namespace: podNamespace, name: podName, containerId };
}

/** Returns `NAMESPACE/NAME` of the pod that has the address or for which it is kept. */
export function podNameOf(slot: Slot): string | undefined {
  const { namespace, name } = namesOf(slot);
  return name === '' ? undefined : `${namespace}/${name}`;
}

function addressOf(text: string): Address | undefined {
  // The MAC of a pod with an IPv4 address, as macOf makes it.
  const mac = /^0a[:-]58((?:[:-][0-9a-f]{2}){4})$/.exec(text)?.[1];
  if (mac !== undefined) return { family: 4, value: BigInt(`0x${mac.replaceAll(/[:-]/g, '')}`) };
  return parsed(() => parseAddress(text));
}

/** A subnet, or the beginning of an IPv4 address: `10.20.` */
function spanOf(text: string): Span | undefined {
  const cidr = parsed(() => parseCidr(text));
  if (cidr) return cidrSpan(cidr);
  const octets = /^(\d{1,3}(?:\.\d{1,3}){0,2})\.?$/.exec(text)?.[1]?.split('.');
  // A number alone is rather a part of a name.
  if (!octets || !text.includes('.')) return undefined;
  const zeros = Array.from({ length: 4 - octets.length }, () => '0');
  const base = parsed(() => parseAddress([...octets, ...zeros].join('.')));
  return base && cidrSpan({ base, prefixLength: familyBits(4) - 8 * zeros.length });
}

function parsed<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
