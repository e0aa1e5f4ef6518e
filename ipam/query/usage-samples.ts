/** Takes and keeps the hourly samples of how full the cluster is. */
import { formatCidr } from '../model/address.ts';
import type { Effects } from '../model/effects.ts';
import { ruleOf } from '../model/holder.ts';
import { usedSlots } from '../model/block.ts';
import { absent, asRead, del, put, type Entry, type Write } from '../records/transaction.ts';
import { readRecord } from '../records/unreadable.ts';
import {
  DAY_MS,
  decodeForecast,
  encodeForecast,
  encodeSample,
  FORECAST,
  HOUR_MS,
  hourOfKey,
  KEPT_HOURS,
  sampleKey,
  type Forecast,
  type RangeSample,
  type Taken,
  type UsageSample,
} from '../records/usage-record.ts';
import { readRanges } from '../store/ranges.ts';
import { readRules } from '../store/rules.ts';
import { readAgain, type Store } from '../store/store.ts';
import { forecastRecord, forecastsOf, readSamples } from './forecasts.ts';
import { UsageSums, type RangeUsage } from './range-usage.ts';
import { scanBlocksOf, type BlockView } from './views.ts';

/** What a sampler works with. */
export interface Sampling {
  readonly store: Store;
  readonly effects: Pick<Effects, 'now' | 'yieldTurn'>;
}

/** How full the cluster is now. */
export interface Measured {
  readonly sample: UsageSample;
  readonly usages: readonly RangeUsage[];
}

/**
 * Sees to it that this hour has a sample, and returns the newest forecast. While another process
 * has taken the sample, it costs one read of two keys. Of several at once, one writes: the key of
 * the hour must be absent. An hour that is missed stays missing.
 * @returns undefined where there is no range yet, or the record of the forecast cannot be read
 * @throws IpamError `store-…`
 */
export async function sampleUsage(sampling: Sampling): Promise<Forecast | undefined> {
  const { store, effects } = sampling;
  const now = effects.now();
  const key = sampleKey(now);
  const [taken, former] = await store.get([key, FORECAST]);
  if (taken) return forecastIn(former);
  const { sample, usages } = await measureUsage(sampling);
  if (usages.length === 0) return undefined;
  const [{ samples, keys }, { rules }] = await Promise.all([readSamples(store), readRules(store)]);
  await effects.yieldTurn();
  const stale = staleKeys(keys, now);
  if (stale === undefined) return forecastIn(former);
  const forecast = forecastRecord(forecastsOf(usages, rules, [...samples, sample], now), now);
  // A newer version's record stays as it is, as does one that is broken.
  const isOurs = !former || forecastIn(former) !== undefined;
  const writes: Write[] = [
    put(key, encodeSample(sample)),
    ...(isOurs ? [put(FORECAST, encodeForecast(forecast))] : []),
    ...stale.map(del),
  ];
  if (await store.commit([absent(key), asRead(FORECAST, former)], writes))
    return isOurs ? forecast : undefined;
  const [newer] = await store.get([FORECAST]);
  return forecastIn(newer);
}

function forecastIn(entry: Entry | undefined): Forecast | undefined {
  if (!entry) return undefined;
  const read = readRecord(entry, decodeForecast);
  return 'value' in read ? read.value : undefined;
}

/** Deletes that fit in one transaction beside the puts. */
const MOST_DELETES = 50;

/**
 * Returns the keys of samples that are too old, or of an hour that has not come. A clock that is
 * wrong must not delete what others have measured, so a key goes only while most are as they should
 * be.
 * @returns undefined if most samples are of the future: this clock is behind
 */
export function staleKeys(keys: readonly string[], now: number): readonly string[] | undefined {
  const hours = keys.map((key) => ({ key, hour: hourOfKey(key) ?? 0 }));
  const late = hours.filter(({ hour }) => hour < now - KEPT_HOURS * HOUR_MS);
  const early = hours.filter(({ hour }) => hour > now + DAY_MS);
  if (early.length * 2 > keys.length) return undefined;
  const isSound = late.length * 2 <= keys.length;
  return [...(isSound ? late : []), ...early].slice(0, MOST_DELETES).map(({ key }) => key);
}

/** Namespaces of which a sample keeps the number of addresses. */
const MOST_NAMESPACES = 50;

/** Reads every block of the cluster, page by page. @throws IpamError `store-…` */
export function measureUsage({ store, effects }: Sampling): Promise<Measured> {
  return readAgain(async () => {
    const known = await readRanges(store);
    const sums = new UsageSums(known.ranges);
    const rules = new Map<string, Taken>();
    const namespaces = new Map<string, Record<4 | 6, number>>();
    const at = effects.now();
    for await (const page of scanBlocksOf({ store, effects }, known, {})) {
      sums.add(page);
      for (const view of page.blocks) {
        addRule(rules, view);
        addNamespaces(namespaces, view);
      }
      // Whoever is served meanwhile comes first.
      await effects.yieldTurn();
    }
    const { usages } = sums.result;
    const most = [...namespaces]
      .sort(([, a], [, b]) => b[4] + b[6] - (a[4] + a[6]))
      .slice(0, MOST_NAMESPACES);
    return {
      usages,
      sample: { at, ranges: new Map(usages.map(sampleOf)), rules, namespaces: new Map(most) },
    };
  });
}

const sampleOf = ({ range, allocated, kept, blocks }: RangeUsage): [string, RangeSample] => [
  range.name,
  { cidr: formatCidr(range.cidr), used: allocated, kept, blocks: blocks.claimed },
];

function addRule(rules: Map<string, Taken>, { block, counts }: BlockView): void {
  const rule = ruleOf(block);
  if (rule === undefined) return;
  const { used, kept, blocks } = rules.get(rule) ?? { used: 0, kept: 0, blocks: 0 };
  rules.set(rule, { used: used + counts.used, kept: kept + counts.kept, blocks: blocks + 1 });
}

function addNamespaces(namespaces: Map<string, Record<4 | 6, number>>, { block }: BlockView): void {
  for (const { slot, address } of usedSlots(block)) {
    const { podNamespace } = slot.owner;
    if (podNamespace === undefined) continue;
    const counts = namespaces.get(podNamespace) ?? { 4: 0, 6: 0 };
    counts[address.family] += 1;
    namespaces.set(podNamespace, counts);
  }
}
