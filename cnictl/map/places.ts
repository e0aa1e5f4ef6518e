import { sameAddress, type Address } from '../../ipam/model/address.ts';
import { ruleHolder } from '../../ipam/model/holder.ts';
import { searchMap, type Found } from '../../ipam/map/search.ts';
import type { MapSource } from '../../ipam/map/source.ts';

/** A place on the map that a search leads to. */
export interface Place {
  /** What was found there: `node node-1`. */
  readonly what: string;
  readonly range: string;
  /** Undefined: the range as a whole. */
  readonly address?: Address;
}

/** More than this nobody walks through one by one. */
const MOST_PLACES = 1_000;

/** Returns where a search leads to, the best first, each place once. */
export function placesOf(source: MapSource, text: string, now: number): Place[] {
  const places: Place[] = [];
  const seen = new Set<string>();
  for (const found of searchMap(source, text, now, MOST_PLACES)) {
    for (const place of placesOfFound(source, found, now)) {
      const id = `${place.range} ${place.address?.value ?? ''}`;
      if (seen.has(id)) continue;
      seen.add(id);
      places.push(place);
    }
    if (places.length >= MOST_PLACES) break;
  }
  return places.slice(0, MOST_PLACES);
}

function placesOfFound(source: MapSource, found: Found, now: number): Place[] {
  const { kind, text, range, block, address } = found;
  const what = `${kind} ${text}`;
  switch (kind) {
    case 'node':
    case 'rule': {
      const holder = kind === 'node' ? text : ruleHolder(text);
      const blocks = source.ranges.flatMap(({ name }) =>
        source.blocksOf(name).filter(({ node }) => node === holder),
      );
      const held = blocks.map(({ cidr, range: of }) => ({ what, range: of, address: cidr.base }));
      return [...held, ...addressesOf(source, kind, text, now).filter((each) => !isWithin(each, blocks))];
    }
    case 'namespace':
      return addressesOf(source, kind, text, now);
    case 'address':
    case 'block':
    case 'pod':
    case 'range': {
      const at = address ?? block?.base;
      return range === undefined ? [] : [{ what, range, ...(at && { address: at }) }];
    }
  }
}

/** Returns the addresses of a node, a rule or a namespace of just this name. */
function addressesOf(source: MapSource, kind: string, name: string, now: number): Place[] {
  const what = `${kind} ${name}`;
  return searchMap(source, `${kind}:${name}`, now, MOST_PLACES).flatMap(({ fit, range, address }) =>
    fit === 0 && range !== undefined && address ? [{ what, range, address }] : [],
  );
}

const isWithin = (
  { address }: Place,
  blocks: readonly { readonly cidr: { readonly base: Address }; readonly slots: readonly unknown[] }[],
): boolean =>
  address !== undefined &&
  blocks.some(({ cidr: { base }, slots }) => {
    const past = address.value - base.value;
    return sameAddress(base, address) || (address.family === base.family && past > 0n && past < slots.length);
  });
