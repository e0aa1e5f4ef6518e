/** Until when ranges, and sets of ranges, last: the samples of etcd against what is free now. */
import { formatCidr, type Family } from '../model/address.ts';
import type { Effects } from '../model/effects.ts';
import { IpamError } from '../model/errors.ts';
import type { Range } from '../model/range.ts';
import type { Rule } from '../model/rule.ts';
import {
  decodeSample,
  HOUR_MS,
  SAMPLES,
  type Forecast,
  type RangeSample,
  type Rooms,
  type Taken,
  type UsageSample,
} from '../records/usage-record.ts';
import { readRecord, unreadableOf, valuesOf, type UnreadableRecord } from '../records/unreadable.ts';
import { readRules } from '../store/rules.ts';
import { scanAll, type Store } from '../store/store.ts';
import { firstFullAt, fullAtOf, median, outlooksOf, paceOf, type Outlooks } from './forecast.ts';
import type { RangeUsage } from './range-usage.ts';

/** Room of one kind, and until when it lasts. */
export interface RoomForecast {
  readonly capacity: number;
  readonly taken: number;
  readonly outlooks: Outlooks;
}

/**
 * Both matter: without a free block no further node gets addresses, and without a free address no
 * pod does.
 */
export interface RoomsForecast {
  /** Used and kept. An address that rests is free soon. */
  readonly addresses: RoomForecast;
  readonly blocks: RoomForecast;
}

/** Names of those that grow most, with their growth in a day. */
export interface Growth {
  readonly name: string;
  readonly perDay: number;
}

export interface Forecasts {
  /** When the oldest and the newest sample were taken; undefined: there are none. */
  readonly sampled: { readonly first: number; readonly last: number } | undefined;
  /** By name, of ranges that serve: a draining one gives nothing. */
  readonly ranges: ReadonlyMap<string, RoomsForecast>;
  /** Of all ranges together that serve every pod. */
  readonly families: ReadonlyMap<Family, RoomsForecast>;
  /** Of the ranges of each rule that names some or has blocks of its own, by name and family. */
  readonly rules: ReadonlyMap<string, ReadonlyMap<Family, RoomsForecast>>;
  /** Namespaces whose use grows, those that grow most first. */
  readonly growing: ReadonlyMap<Family, readonly Growth[]>;
}

export interface Samples {
  /** Oldest first. */
  readonly samples: readonly UsageSample[];
  /** Keys of all, those that cannot be read too. */
  readonly keys: readonly string[];
  readonly unreadable: readonly UnreadableRecord[];
}

/** Returns all samples. One that cannot be read hides no other. @throws IpamError `store-…` */
export async function readSamples(store: Store): Promise<Samples> {
  const entries = await scanAll(store, SAMPLES);
  const reads = entries.map((entry) => readRecord(entry, decodeSample));
  return { samples: valuesOf(reads), keys: entries.map(({ key }) => key), unreadable: unreadableOf(reads) };
}

/** @param usages of all ranges, now */
export function forecastsOf(
  usages: readonly RangeUsage[],
  rules: readonly Rule[],
  samples: readonly UsageSample[],
  now: number,
): Forecasts {
  const known = samples.filter(({ at }) => at <= now + HOUR_MS);
  const usedFamilies = ([4, 6] as const).filter((family) => usages.some((each) => familyOf(each) === family));
  const byFamily = (forecast: (family: Family) => RoomsForecast | undefined): Map<Family, RoomsForecast> =>
    new Map(
      usedFamilies.flatMap((family) => {
        const found = forecast(family);
        return found ? [[family, found] as const] : [];
      }),
    );
  const ofFamily = (family: Family, isMember: (range: Range) => boolean): RangeUsage[] =>
    usages.filter((each) => familyOf(each) === family && isMember(each.range));
  const families = byFamily((family) =>
    forecastOf(ofFamily(family, isGeneral), wholePoints(known, family, usages), now),
  );
  const ofRule = ({ ranges, fallback }: Rule): Map<Family, RoomsForecast> => {
    if (ranges.length === 0 || fallback) return families;
    return byFamily((family) => {
      const members = ofFamily(family, ({ name }) => ranges.includes(name));
      return forecastOf(members, memberPoints(known, members), now);
    });
  };
  const times = known.map(({ at }) => at);
  return {
    sampled: times.length > 0 ? { first: Math.min(...times), last: Math.max(...times) } : undefined,
    ranges: new Map(
      usages.flatMap((each) => {
        const forecast = forecastOf([each], memberPoints(known, [each]), now);
        return forecast ? [[each.range.name, forecast] as const] : [];
      }),
    ),
    families,
    rules: new Map(
      rules
        .filter(({ ranges, ownBlocks }) => ranges.length > 0 || ownBlocks)
        .map((rule) => [rule.name, ofRule(rule)] as const),
    ),
    growing: new Map(usedFamilies.map((family) => [family, growingOf(known, family, now)])),
  };
}

const familyOf = ({ range }: RangeUsage): Family => range.cidr.base.family;
const isGeneral = (range: Range): boolean => range.namedOnly !== true;
const serves = ({ range }: RangeUsage): boolean => range.state === 'active';

/** What was taken at one time. */
interface TakenAt extends Taken {
  readonly at: number;
}

/** A sample that is older than all members has no point: nothing was there to be full. */
function memberPoints(samples: readonly UsageSample[], members: readonly RangeUsage[]): TakenAt[] {
  const wanted = members.map(({ range }) => ({ name: range.name, cidr: formatCidr(range.cidr) }));
  return samples.flatMap(({ at, ranges }) => {
    const found = wanted.flatMap(({ name, cidr }) => {
      const sample = ranges.get(name);
      return sample?.cidr === cidr ? [sample] : [];
    });
    return found.length > 0 ? [{ at, ...sumOf(found) }] : [];
  });
}

/** Ranges that are gone count too: their pods have come to others. */
function wholePoints(
  samples: readonly UsageSample[],
  family: Family,
  usages: readonly RangeUsage[],
): TakenAt[] {
  const named = new Set(usages.flatMap(({ range }) => (isGeneral(range) ? [] : [range.name])));
  const isOfFamily = ({ cidr }: RangeSample): boolean => cidr.includes(':') === (family === 6);
  return samples.map(({ at, ranges }) => ({
    at,
    ...sumOf([...ranges].flatMap(([name, each]) => (!named.has(name) && isOfFamily(each) ? [each] : []))),
  }));
}

const sumOf = (all: readonly Taken[]): Taken => ({
  used: all.reduce((sum, { used }) => sum + used, 0),
  kept: all.reduce((sum, { kept }) => sum + kept, 0),
  blocks: all.reduce((sum, { blocks }) => sum + blocks, 0),
});

/**
 * A draining range gives nothing, and its pods will need addresses of the others: what it has taken
 * counts, and it has no room.
 */
function forecastOf(
  members: readonly RangeUsage[],
  points: readonly TakenAt[],
  now: number,
): RoomsForecast | undefined {
  const serving = members.filter(serves);
  if (serving.length === 0) return undefined;
  const room = (
    taken: (usage: RangeUsage) => number,
    free: (usage: RangeUsage) => number,
    then: (taken: Taken) => number,
  ): RoomForecast => {
    const has = members.reduce((sum, each) => sum + taken(each), 0);
    const left = serving.reduce((sum, each) => sum + free(each), 0);
    const known = points.map((each) => ({ at: each.at, value: then(each) }));
    return { capacity: has + left, taken: has, outlooks: outlooksOf(known, left, now) };
  };
  return {
    addresses: room(
      ({ capacity, free }) => capacity - free,
      ({ free }) => free,
      ({ used, kept }) => used + kept,
    ),
    blocks: room(
      ({ blocks }) => blocks.claimed,
      ({ blocks }) => Math.max(0, blocks.total - blocks.claimed),
      ({ blocks }) => blocks,
    ),
  };
}

const MOST_GROWING = 3;

function growingOf(samples: readonly UsageSample[], family: Family, now: number): Growth[] {
  const names = new Set(samples.slice(-24).flatMap(({ namespaces }) => [...namespaces.keys()]));
  const growths = [...names].flatMap((name) => {
    const points = samples.map(({ at, namespaces }) => ({ at, value: namespaces.get(name)?.[family] ?? 0 }));
    const paces = (['day', 'week'] as const).map((window) => paceOf(points, window, now));
    const known = paces.flatMap((pace) => (pace.kind === 'known' ? [pace.perDay] : []));
    const perDay = median(known);
    return perDay >= 0.5 ? [{ name, perDay }] : [];
  });
  return growths.sort((a, b) => b.perDay - a.perDay).slice(0, MOST_GROWING);
}

/** What is full first at the earlier of both paces; undefined where nothing tells, or all lasts. */
export function firstFull(
  { addresses, blocks }: RoomsForecast,
  now: number,
): { readonly what: 'addresses' | 'blocks'; readonly at: number } | undefined {
  const at = { addresses: firstFullAt(addresses.outlooks, now), blocks: firstFullAt(blocks.outlooks, now) };
  if (at.blocks !== undefined && (at.addresses === undefined || at.blocks < at.addresses))
    return { what: 'blocks', at: at.blocks };
  return at.addresses === undefined ? undefined : { what: 'addresses', at: at.addresses };
}

/** Returns the forecasts as the record for metrics has them. */
export function forecastRecord({ ranges, families, rules }: Forecasts, now: number): Forecast {
  const room = ({ capacity, taken, outlooks }: RoomForecast): Rooms['addresses'] => {
    const [day, week] = [fullAtOf(outlooks.day, now), fullAtOf(outlooks.week, now)];
    return {
      ...{ capacity, taken },
      fullAt: { ...(day !== undefined && { day }), ...(week !== undefined && { week }) },
    };
  };
  const rooms = ({ addresses, blocks }: RoomsForecast): Rooms => ({
    addresses: room(addresses),
    blocks: room(blocks),
  });
  const each = <K>(of: ReadonlyMap<K, RoomsForecast>): Map<K, Rooms> =>
    new Map([...of].map(([name, forecast]) => [name, rooms(forecast)]));
  return {
    at: now,
    ranges: each(ranges),
    families: each(families),
    // A rule's families differ; the shorter one decides.
    rules: new Map(
      [...rules].flatMap(([name, of]) => {
        const [first] = [...of.values()].sort((a, b) => endOf(a, now) - endOf(b, now));
        return first ? [[name, rooms(first)] as const] : [];
      }),
    ),
  };
}

const endOf = (forecast: RoomsForecast, now: number): number => firstFull(forecast, now)?.at ?? Infinity;

/** Forecasts, and the samples that could not be read for them. */
export interface ReadForecasts {
  readonly forecasts: Forecasts;
  readonly unreadable: readonly UnreadableRecord[];
}

/**
 * Forecasts by the samples of etcd. A user who may not read them gets forecasts without samples.
 * @param usages of all ranges, now
 * @throws IpamError `store-…`
 */
export async function readForecasts(
  { store, effects }: { readonly store: Store; readonly effects: Pick<Effects, 'now'> },
  usages: readonly RangeUsage[],
): Promise<ReadForecasts> {
  const [{ samples, unreadable }, { rules }] = await Promise.all([
    readSamples(store).catch((error: unknown) => {
      if (error instanceof IpamError && error.code === 'store-denied') return NO_SAMPLES;
      throw error;
    }),
    readRules(store),
  ]);
  return { forecasts: forecastsOf(usages, rules, samples, effects.now()), unreadable };
}

const NO_SAMPLES: Samples = { samples: [], keys: [], unreadable: [] };
