/** What the page shows. It is the address's part behind `#`, so that it can be sent. */
export type Place =
  | { readonly view: 'overview' }
  | {
      readonly view: 'range';
      readonly range: string;
      /** A block, such as `10.20.0.16/28`, or an address. */
      readonly block?: string;
      readonly ip?: string;
      /** The time for which it is asked who had the address, ISO 8601. */
      readonly at?: string;
    }
  /** An address of whichever range. */
  | { readonly view: 'address'; readonly ip: string; readonly at?: string }
  | { readonly view: 'search'; readonly text: string };

/**
 * Reads `#/`, `#/ranges/blue`, `#/ranges/blue/10.20.0.16/28`, `#/ranges/blue/10.20.0.17?at=TIME`,
 * `#/10.20.0.17` and `#/search/web`. Anything else is the overview.
 */
export function parsePlace(hash: string): Place {
  const [path = '', query = ''] = hash.replace(/^#?\/?/, '').split('?');
  const [first = '', ...rest] = path.split('/').map(decoded);
  const time = new URLSearchParams(query).get('at');
  const at = time === null ? {} : { at: time };
  if (first === 'search' && rest.length > 0) return { view: 'search', text: rest.join('/') };
  if (first === 'ranges' && rest[0] !== undefined && rest[0] !== '') {
    const [range, address = '', length] = rest;
    if (address === '') return { view: 'range', range };
    if (length !== undefined) return { view: 'range', range, block: `${address}/${length}` };
    return { view: 'range', range, ip: address, ...at };
  }
  return /^[0-9a-fA-F]*[.:][0-9a-fA-F.:]+$/.test(first)
    ? { view: 'address', ip: first, ...at }
    : { view: 'overview' };
}

/** The reverse of {@link parsePlace}. */
export function formatPlace(place: Place): string {
  switch (place.view) {
    case 'overview':
      return '#/';
    case 'search':
      return `#/search/${encodeURIComponent(place.text)}`;
    case 'address':
      return `#/${place.ip}${timeText(place.at)}`;
    case 'range': {
      const { range, block, ip, at } = place;
      const inside = ip ?? block;
      const more = inside === undefined ? '' : `/${inside}`;
      return `#/ranges/${encodeURIComponent(range)}${more}${ip === undefined ? '' : timeText(at)}`;
    }
  }
}

/** Returns where Escape leads: from an address to its range, from there to the overview. */
export function above(place: Place): Place {
  if (place.view !== 'range') return { view: 'overview' };
  const { range, block, ip } = place;
  return (ip ?? block) === undefined ? { view: 'overview' } : { view: 'range', range };
}

const timeText = (at: string | undefined): string =>
  at === undefined ? '' : `?at=${encodeURIComponent(at)}`;

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
