import {
  cidrSpan,
  commonSpan,
  formatCidr,
  formatSpan,
  joinSpans,
  offsetAddress,
  sameAddress,
  spanContains,
  spansOverlap,
  subtractSpans,
  type Address,
  type Cidr,
  type Span,
} from './address.ts';
import { isKept, slotAddress, type Block, type KeptSlot, type Slot, type UsedSlot } from './block.ts';
import { invalid } from './errors.ts';
import { checkDestinations, checkRange } from './new-range.ts';
import {
  blockAt,
  nextHops,
  reservation,
  reservedSpans,
  type Range,
  type RangeState,
  type Route,
} from './range.ts';

/** What to change of a range that pods may have addresses of. Absent: stays as it is. */
export interface RangeEdit {
  readonly state?: RangeState;
  readonly namedOnly?: boolean;
  readonly cooldownMs?: number;
  readonly exclude?: readonly Span[];
  /** Exclusions to take away. What is not excluded stays as it is. */
  readonly include?: readonly Span[];
  /** null: none. */
  readonly gateway?: Address | null;
  /** Each replaces the route to its destination. */
  readonly routes?: readonly Route[];
  /** Destinations whose routes to take away. One without a route stays as it is. */
  readonly removeRoutes?: readonly Cidr[];
}

/**
 * Returns the range as edited. A former gateway or next hop of the range's subnet becomes an
 * exclusion, unless the edit includes it: pods that live send to it until they are made again, and
 * a pod that had the address would get what they send.
 * @param now for `routesChangedAt`, in milliseconds since 1970
 * @throws IpamError `invalid`, naming the value and what would be right
 */
export function editRange(range: Range, edit: RangeEdit, now: number): Range {
  checkSpans(range, edit);
  const { namedOnly: wasNamedOnly, gateway: hadGateway, ...rest } = range;
  const gateway = edit.gateway === undefined ? hadGateway : (edit.gateway ?? undefined);
  const namedOnly = edit.namedOnly ?? wasNamedOnly ?? false;
  const next: Range = {
    ...rest,
    ...(gateway && { gateway }),
    routes: editRoutes(range.routes, edit),
    cooldownMs: edit.cooldownMs ?? range.cooldownMs,
    state: edit.state ?? range.state,
    ...(namedOnly && { namedOnly: true as const }),
  };
  const edited: Range = {
    ...next,
    exclude: editExclusions(range, next, edit),
    ...(!hasSameRoutes(range, next) && { routesChangedAt: now }),
  };
  checkRange(edited);
  // A range that was added before this rule may keep what it has.
  if (edit.routes) checkDestinations(edited);
  return edited;
}

/** @throws IpamError `invalid` */
function checkSpans({ cidr }: Range, { exclude = [], include = [] }: RangeEdit): void {
  const whole = cidrSpan(cidr);
  for (const span of include) {
    if (spanContains(whole, span.first) && spanContains(whole, span.last)) continue;
    throw invalid(
      `inclusion ${formatSpan(span)} is not inside ${formatCidr(cidr)}: expected addresses from ${formatSpan(whole)}`,
    );
  }
  const both = exclude.flatMap((span) => include.flatMap((other) => commonSpan(span, other) ?? []))[0];
  if (both) throw invalid(`${formatSpan(both)} is to be both excluded and included: expected one of the two`);
}

function editRoutes(
  routes: readonly Route[],
  { routes: wanted = [], removeRoutes = [] }: RangeEdit,
): Route[] {
  const given = new Map(wanted.map((route) => [formatCidr(route.destination), route]));
  // Two to one destination are refused later, by both of them.
  const twice = wanted.filter((route) => given.get(formatCidr(route.destination)) !== route);
  const removed = new Set(removeRoutes.map(formatCidr));
  const known = new Set(routes.map(({ destination }) => formatCidr(destination)));
  return [
    ...routes
      .map((route) => given.get(formatCidr(route.destination)) ?? route)
      .filter(({ destination }) => !removed.has(formatCidr(destination))),
    ...[...given].filter(([text]) => !known.has(text)).map(([, route]) => route),
    ...twice,
  ];
}

function editExclusions(
  before: Range,
  next: Routing,
  { exclude = [], include = [] }: RangeEdit,
): readonly Span[] {
  const hops = nextHops(next);
  const former = nextHops(before)
    .filter((hop) => spanContains(cidrSpan(before.cidr), hop))
    .filter((hop) => !hops.some((other) => sameAddress(hop, other)))
    .filter((hop) => !include.some((span) => spanContains(span, hop)))
    .map((hop): Span => ({ first: hop, last: hop }));
  if (exclude.length + include.length + former.length === 0) return before.exclude;
  return joinSpans([...subtractSpans(before.exclude, include), ...exclude, ...former]);
}

type Routing = Pick<Range, 'gateway' | 'routes'>;

/** Whether pods of both get the same gateway and routes. */
export const hasSameRoutes = (a: Routing, b: Routing): boolean => routesText(a) === routesText(b);

const routesText = ({ gateway, routes }: Routing): string =>
  JSON.stringify([gateway, routes], (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );

/** What an edit does to the addresses that no pod gets. */
export interface ReservationChange {
  readonly reserved: readonly Span[];
  readonly freed: readonly Span[];
}

export function reservationChange(before: Range, after: Range): ReservationChange {
  const [was, is] = [reservedSpans(before), reservedSpans(after)];
  return { reserved: subtractSpans(is, was), freed: subtractSpans(was, is) };
}

/** Whether a subnet has addresses whose reservation changes. */
export const isTouched = ({ reserved, freed }: ReservationChange, cidr: Cidr): boolean =>
  [...reserved, ...freed].some((span) => spansOverlap(span, cidrSpan(cidr)));

/**
 * Returns the blocks, claimed or not, that have addresses whose reservation changes.
 * @returns undefined if there are more than `most`: of an IPv6 range there may be 2^60
 */
export function touchedBlocks(
  range: Range,
  { reserved, freed }: ReservationChange,
  most: number,
): Cidr[] | undefined {
  const found = new Map<bigint, Cidr>();
  for (const { first, last } of [...reserved, ...freed]) {
    let block = blockAt(range, first);
    while (block.base.value <= last.value) {
      found.set(block.base.value, block);
      if (found.size > most) return undefined;
      block = { ...block, base: offsetAddress(block.base, BigInt(range.blockSize)) };
    }
  }
  return [...found.values()];
}

/** An address to reserve that somebody has. */
export interface InTheWay {
  readonly address: Address;
  readonly slot: UsedSlot | KeptSlot;
}

/**
 * Reserves and frees slots as the edited range says. Addresses that rest are reserved at once, and
 * so are those that are kept no more. One that becomes free rests: it may have rested when it was
 * reserved, and neighbours may know it as a gateway's.
 * @param inTheWay receives those that a pod has, or that are kept for one: they stay
 */
export function refitBlock(block: Block, after: Range, now: number, inTheWay: InTheWay[]): Block {
  const isReserved = reservation(after);
  let { sequence } = block;
  const slots = block.slots.map((slot, i): Slot => {
    const address = slotAddress(block, i);
    if (!isReserved(address))
      return slot.state === 'reserved' ? { state: 'released', releasedAt: now, sequence: ++sequence } : slot;
    if (slot.state === 'used' || (slot.state === 'kept' && isKept(slot, now))) {
      inTheWay.push({ address, slot });
      return slot;
    }
    return slot.state === 'reserved' ? slot : { state: 'reserved' };
  });
  return { ...block, sequence, slots };
}
