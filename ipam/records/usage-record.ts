/**
 * How full the cluster was, hour by hour: what the forecasts of ranges rest on. No address is
 * assigned or released by these records (docs/decisions/0044-time-until-full.md).
 */
import * as v from 'valibot';
import type { Family } from '../model/address.ts';
import { count, decode, isoTime, schemaVersion, SCHEMA_VERSION, text, time } from './codec.ts';

/** Everything that this file describes. */
export const USAGE = 'usage/';
/** Below it, one sample for each hour. */
export const SAMPLES = `${USAGE}hours/`;
/** What the newest sample says of each range, and until when it lasts: for metrics. */
export const FORECAST = `${USAGE}forecast`;

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** A day more than a week, so that a week of samples is whole while one is missing. */
export const KEPT_HOURS = 8 * 24;

/** Returns the key of the hour's sample, `usage/hours/2026-11-30T04`. */
export const sampleKey = (now: number): string => `${SAMPLES}${isoTime(now).slice(0, 13)}`;

/** Returns when the hour of a key began; undefined if the key names none. */
export function hourOfKey(key: string): number | undefined {
  const hour = Date.parse(`${key.slice(SAMPLES.length)}:00:00.000Z`);
  return key.startsWith(SAMPLES) && !Number.isNaN(hour) ? hour : undefined;
}

/** What was taken of a range, or by a rule's own blocks. */
export interface Taken {
  readonly used: number;
  /** For pods that are gone and may come again. */
  readonly kept: number;
  /** Claimed blocks. */
  readonly blocks: number;
}

export interface RangeSample extends Taken {
  /** As text, `10.20.0.0/22`: tells a range from a later one of the same name. */
  readonly cidr: string;
}

/** How full the cluster was at one time. */
export interface UsageSample {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** By name of the range. */
  readonly ranges: ReadonlyMap<string, RangeSample>;
  /** By name of the rule: what its own blocks hold. */
  readonly rules: ReadonlyMap<string, Taken>;
  /** Used addresses by namespace and family, of those that use most. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<Family, number>>>;
}

/** Short, because there are 192 of them: `["10.20.0.0/22", used, kept, blocks]`. */
const sampleRecord = v.looseObject({
  v: schemaVersion,
  at: time,
  ranges: v.record(v.string(), v.tuple([text, count, count, count])),
  rules: v.record(v.string(), v.tuple([count, count, count])),
  namespaces: v.record(v.string(), v.tuple([count, count])),
});

export function encodeSample({ at, ranges, rules, namespaces }: UsageSample): string {
  const taken = ({ used, kept, blocks }: Taken): [number, number, number] => [used, kept, blocks];
  const record: v.InferInput<typeof sampleRecord> = {
    v: SCHEMA_VERSION,
    at: isoTime(at),
    ranges: Object.fromEntries([...ranges].map(([name, each]) => [name, [each.cidr, ...taken(each)]])),
    rules: Object.fromEntries([...rules].map(([name, each]) => [name, taken(each)])),
    namespaces: Object.fromEntries([...namespaces].map(([name, of]) => [name, [of[4], of[6]]])),
  };
  return JSON.stringify(record);
}

/** @throws IpamError `corrupt-record`, naming the key, the field and what was expected */
export function decodeSample(key: string, value: string): UsageSample {
  const record = decode(sampleRecord, key, value);
  const mapped = <T, U>(of: Readonly<Record<string, T>>, to: (each: T) => U): ReadonlyMap<string, U> =>
    new Map(Object.entries(of).map(([name, each]) => [name, to(each)]));
  return {
    at: record.at,
    ranges: mapped(record.ranges, ([cidr, used, kept, blocks]) => ({ cidr, used, kept, blocks })),
    rules: mapped(record.rules, ([used, kept, blocks]) => ({ used, kept, blocks })),
    namespaces: mapped(record.namespaces, ([four, six]) => ({ 4: four, 6: six })),
  };
}

/** When something is full at the pace of the last day, and of the last week. */
export interface FullAt {
  /** Milliseconds since 1970; absent: not at this pace, or too few samples tell. */
  readonly day?: number;
  readonly week?: number;
}

/** Room of one kind: how much there is, how much is taken, and when it is full. */
export interface Room {
  readonly capacity: number;
  readonly taken: number;
  readonly fullAt: FullAt;
}

export interface Rooms {
  readonly addresses: Room;
  readonly blocks: Room;
}

export interface Forecast {
  /** When it was computed, in milliseconds since 1970. */
  readonly at: number;
  readonly ranges: ReadonlyMap<string, Rooms>;
  /** Of all ranges that serve every pod, by family. */
  readonly families: ReadonlyMap<Family, Rooms>;
  /** Of the ranges of each rule that names some or has blocks of its own. */
  readonly rules: ReadonlyMap<string, Rooms>;
}

/** An IPv6 range has more addresses than a number counts exactly. */
const amount = v.pipe(v.number(), v.finite(), v.minValue(0));
const roomRecord = v.looseObject({
  capacity: amount,
  taken: amount,
  fullAt: v.looseObject({ day: v.optional(time), week: v.optional(time) }),
});
const roomsRecord = v.looseObject({ addresses: roomRecord, blocks: roomRecord });
const forecastRecord = v.looseObject({
  v: schemaVersion,
  at: time,
  ranges: v.record(v.string(), roomsRecord),
  families: v.looseObject({ 4: v.optional(roomsRecord), 6: v.optional(roomsRecord) }),
  rules: v.record(v.string(), roomsRecord),
});

type RoomInput = v.InferInput<typeof roomRecord>;

export function encodeForecast({ at, ranges, families, rules }: Forecast): string {
  const room = ({ capacity, taken, fullAt: { day, week } }: Room): RoomInput => ({
    capacity,
    taken,
    fullAt: {
      ...(day !== undefined && { day: isoTime(day) }),
      ...(week !== undefined && { week: isoTime(week) }),
    },
  });
  const named = (of: ReadonlyMap<string | number, Rooms>): Record<string, v.InferInput<typeof roomsRecord>> =>
    Object.fromEntries(
      [...of].map(([name, { addresses, blocks }]) => [
        `${name}`,
        { addresses: room(addresses), blocks: room(blocks) },
      ]),
    );
  const record: v.InferInput<typeof forecastRecord> = {
    ...{ v: SCHEMA_VERSION, at: isoTime(at) },
    ...{ ranges: named(ranges), families: named(families), rules: named(rules) },
  };
  return JSON.stringify(record);
}

/** @throws IpamError `corrupt-record`, naming the key, the field and what was expected */
export function decodeForecast(key: string, value: string): Forecast {
  const { at, ranges, families, rules } = decode(forecastRecord, key, value);
  const room = ({ capacity, taken, fullAt: { day, week } }: v.InferOutput<typeof roomRecord>): Room => ({
    capacity,
    taken,
    fullAt: { ...(day !== undefined && { day }), ...(week !== undefined && { week }) },
  });
  const rooms = (each: v.InferOutput<typeof roomsRecord>): Rooms => ({
    addresses: room(each.addresses),
    blocks: room(each.blocks),
  });
  const named = (of: Readonly<Record<string, v.InferOutput<typeof roomsRecord>>>): Map<string, Rooms> =>
    new Map(Object.entries(of).map(([name, each]) => [name, rooms(each)]));
  return {
    at,
    ranges: named(ranges),
    families: new Map(
      ([4, 6] as const).flatMap((family) => {
        const each = families[family];
        return each ? [[family, rooms(each)] as const] : [];
      }),
    ),
    rules: named(rules),
  };
}
