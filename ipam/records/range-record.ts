import * as v from 'valibot';
import {
  formatAddress,
  formatCidr,
  formatSpan,
  parseAddress,
  parseCidr,
  parseSpan,
} from '../model/address.ts';
import { checkRange } from '../model/new-range.ts';
import type { Range, Route } from '../model/range.ts';
import {
  checkKey,
  count,
  decode,
  guarded,
  isoTime,
  SCHEMA_VERSION,
  text,
  time,
  unknownFieldsOf,
} from './codec.ts';
import { rangeKey } from './keys.ts';

/**
 * A range that must be named has this version: an older program would draw from it for every pod.
 * It refuses the record instead.
 */
const NAMED_ONLY_VERSION = 2;
export const NEWEST_RANGE_VERSION = NAMED_ONLY_VERSION;

const rangeRecord = v.looseObject({
  v: v.picklist([SCHEMA_VERSION, NAMED_ONLY_VERSION]),
  name: text,
  cidr: text,
  gateway: v.nullable(text),
  vlan: v.nullable(count),
  exclude: v.array(text),
  routes: v.array(v.looseObject({ destination: text, via: v.nullable(text) })),
  blockSize: count,
  cooldownMs: count,
  state: v.picklist(['active', 'draining']),
  namedOnly: v.optional(v.literal(true)),
  routesChangedAt: v.optional(time),
});

type RouteRecord = v.InferOutput<typeof rangeRecord>['routes'][number];

/** Version of the record of this range. */
export const rangeVersion = ({ namedOnly }: Pick<Range, 'namedOnly'>): 1 | 2 =>
  namedOnly ? NAMED_ONLY_VERSION : SCHEMA_VERSION;

export function encodeRange(range: Range): string {
  const record: v.InferInput<typeof rangeRecord> = {
    v: rangeVersion(range),
    name: range.name,
    cidr: formatCidr(range.cidr),
    gateway: range.gateway ? formatAddress(range.gateway) : null,
    vlan: range.vlan ?? null,
    exclude: range.exclude.map(formatSpan),
    routes: range.routes.map((route) => ({
      destination: formatCidr(route.destination),
      via: route.via ? formatAddress(route.via) : null,
      ...route.unknownFields,
    })),
    blockSize: range.blockSize,
    cooldownMs: range.cooldownMs,
    state: range.state,
    ...(range.namedOnly && { namedOnly: true }),
    ...(range.routesChangedAt !== undefined && { routesChangedAt: isoTime(range.routesChangedAt) }),
  };
  return JSON.stringify({ ...record, ...range.unknownFields });
}

/** @throws IpamError `corrupt-record`, naming the key, the field and what was expected */
export function decodeRange(key: string, value: string): Range {
  const {
    v: _,
    name,
    cidr,
    gateway,
    vlan,
    exclude,
    routes,
    blockSize,
    cooldownMs,
    state,
    namedOnly,
    routesChangedAt,
    ...rest
  } = decode(rangeRecord, key, value, NAMED_ONLY_VERSION);
  checkKey(key, rangeKey(name));
  const range = guarded(key, (): Range => ({
    name,
    cidr: parseCidr(cidr, 'cidr'),
    ...(gateway !== null && { gateway: parseAddress(gateway, 'gateway') }),
    ...(vlan !== null && { vlan }),
    exclude: exclude.map((span) => parseSpan(span, 'exclude')),
    routes: routes.map(decodeRoute),
    blockSize,
    cooldownMs,
    state,
    ...(namedOnly && { namedOnly }),
    ...(routesChangedAt !== undefined && { routesChangedAt }),
    ...unknownFieldsOf(rest),
  }));
  guarded(key, () => checkRange(range));
  return range;
}

function decodeRoute(record: RouteRecord): Route {
  const { destination, via, ...rest } = record;
  return {
    destination: parseCidr(destination, 'routes.destination'),
    ...(via !== null && { via: parseAddress(via, 'routes.via') }),
    ...unknownFieldsOf(rest),
  };
}
