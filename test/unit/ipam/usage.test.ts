import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatCidr } from '../../../ipam/model/address.ts';
import type { Range } from '../../../ipam/model/range.ts';
import { forecastsOf, readForecasts, type RoomsForecast } from '../../../ipam/query/forecasts.ts';
import { nextRange, type NextRange } from '../../../ipam/query/next-range.ts';
import { listRangeUsage, unusedRange, type RangeUsage } from '../../../ipam/query/range-usage.ts';
import { sampleUsage, staleKeys } from '../../../ipam/query/usage-samples.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { addRule } from '../../../ipam/rules/rules.ts';
import { BLOCKS } from '../../../ipam/records/keys.ts';
import {
  decodeForecast,
  decodeSample,
  encodeForecast,
  encodeSample,
  FORECAST,
  hourOfKey,
  sampleKey,
  SAMPLES,
  USAGE,
  type Forecast,
  type RangeSample,
  type UsageSample,
} from '../../../ipam/records/usage-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { give, owns, pod } from './pods.ts';
import { range, World } from './world.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const keys = (world: World, prefix = USAGE): string[] =>
  [...world.store.entries.keys()].filter((key) => key.startsWith(prefix)).sort();
const sampling = ({ store, effects }: World) => ({ store, effects });

/** Blue with two pods, one of a rule with blocks of its own. */
async function made(): Promise<World> {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue', gateway: '10.20.0.1' }));
  await addRule(world.ipam, owns('web'));
  await give(world, 'node-1', pod('api-1'));
  await give(world, 'node-2', pod('web-1'));
  return world;
}

const sampleOf = (at: number, ranges: Record<string, RangeSample>): UsageSample => ({
  at,
  ranges: new Map(Object.entries(ranges)),
  rules: new Map(),
  namespaces: new Map(),
});

const taken = (cidr: string, used: number, blocks = 0): RangeSample => ({ cidr, used, kept: 0, blocks });

suite('samples of the usage', () => {
  test('one for an hour: by range, rule and namespace; asked again it costs a read', async () => {
    const world = await made();
    const forecast = await sampleUsage(sampling(world));
    const [key = '', ...more] = keys(world, SAMPLES);
    assert.deepEqual([key, more], ['usage/hours/2026-01-01T00', []]);
    assert.deepEqual(decodeSample(key, world.store.entries.get(key)?.value ?? ''), {
      at: world.now,
      ranges: new Map([['blue', { cidr: '10.20.0.0/24', used: 2, kept: 0, blocks: 2 }]]),
      rules: new Map([['web', { used: 1, kept: 0, blocks: 1 }]]),
      namespaces: new Map([['shop', { 4: 2, 6: 0 }]]),
    });
    assert.deepEqual(forecast?.ranges.get('blue'), {
      addresses: { capacity: 253, taken: 2, fullAt: {} },
      blocks: { capacity: 16, taken: 2, fullAt: {} },
    });
    const before = world.store.revision;
    const requests: string[] = [];
    world.store.before = (request) => Promise.resolve(void requests.push(request));
    world.now += 30 * 60_000;
    assert.deepEqual(await sampleUsage(sampling(world)), forecast);
    assert.deepEqual([requests, world.store.revision], [['get'], before]);
  });

  test('of two at once one writes, and both have its forecast', async () => {
    const world = await made();
    const before = world.store.revision;
    const [a, b, c] = await Promise.all([1, 2, 3].map(() => sampleUsage(sampling(world))));
    assert.equal(world.store.revision, before + 1n);
    assert.ok(a);
    assert.deepEqual([b, c], [a, a]);
  });

  test('an etcd without ranges is left alone: it may have forgotten them', async () => {
    const world = new World();
    assert.equal(await sampleUsage(sampling(world)), undefined);
    assert.deepEqual(keys(world), []);
  });

  test('eight days are kept', async () => {
    const world = await made();
    for (let hour = 0; hour < 200; hour++) {
      await sampleUsage(sampling(world));
      world.now += HOUR;
    }
    const hours = keys(world, SAMPLES);
    assert.equal(hours.length, 193);
    assert.equal(hours.at(-1), sampleKey(world.now - HOUR));
  });

  test('records that cannot be read: the others count, none is overwritten, and a block is claimed', async () => {
    const world = await made();
    const key = sampleKey(world.now);
    await world.store.commit([], [put(key, '{"v":1'), put(FORECAST, '{"v":2}')]);
    assert.equal(await sampleUsage(sampling(world)), undefined);
    world.now += HOUR;
    const [block = ''] = keys(world, BLOCKS);
    await world.store.commit([], [put(block, 'x')]);
    assert.equal(await sampleUsage(sampling(world)), undefined);
    assert.equal(world.store.entries.get(key)?.value, '{"v":1');
    assert.equal(world.store.entries.get(FORECAST)?.value, '{"v":2}');
    const later = sampleKey(world.now);
    const { ranges } = decodeSample(later, world.store.entries.get(later)?.value ?? '');
    assert.deepEqual(ranges.get('blue'), { cidr: '10.20.0.0/24', used: 1, kept: 0, blocks: 2 });
    const { usages } = await listRangeUsage(world.ipam);
    const { unreadable } = await readForecasts(world.ipam, usages);
    assert.deepEqual(
      unreadable.map((each) => each.key),
      [key],
    );
  });

  test('a clock that is wrong deletes nothing of the others', () => {
    const at = Date.parse('2026-03-01T10:20:00Z');
    const hours = Array.from({ length: 192 }, (_, i) => sampleKey(at - i * HOUR));
    assert.deepEqual(staleKeys(hours, at), []);
    assert.deepEqual(staleKeys([...hours, sampleKey(at - 200 * HOUR)], at), [sampleKey(at - 200 * HOUR)]);
    assert.deepEqual(staleKeys([...hours, sampleKey(at + 90 * DAY)], at), [sampleKey(at + 90 * DAY)]);
    assert.deepEqual(staleKeys(hours, at + 365 * DAY), [], 'ahead by a year');
    assert.equal(staleKeys(hours, at - 365 * DAY), undefined, 'behind by a year: it takes no sample');
    assert.equal(hourOfKey('usage/hours/x'), undefined);
  });

  test('both records are read as they were written, and refused with the key', () => {
    const sample: UsageSample = {
      at: 5_000,
      ranges: new Map([['blue', { cidr: 'fd00::/64', used: 1, kept: 2, blocks: 3 }]]),
      rules: new Map([['web', { used: 4, kept: 5, blocks: 6 }]]),
      namespaces: new Map([['shop', { 4: 7, 6: 8 }]]),
    };
    assert.deepEqual(decodeSample('k', encodeSample(sample)), sample);
    const room = { capacity: 2 ** 64, taken: 3, fullAt: { day: 7_000 } };
    const rooms = { addresses: room, blocks: { ...room, fullAt: {} } };
    const forecast: Forecast = {
      at: 5_000,
      ranges: new Map([['blue', rooms]]),
      families: new Map([[6, rooms]]),
      rules: new Map([['web', rooms]]),
    };
    assert.deepEqual(decodeForecast('k', encodeForecast(forecast)), forecast);
    assert.throws(() => decodeSample('usage/hours/x', '{"v":1,"at":"today"}'), /'usage\/hours\/x': key 'at'/);
    assert.throws(() => decodeForecast('usage/forecast', '{"v":2}'), /newer cellnet/);
  });
});

const NOW = Date.parse('2026-01-09T00:20:00Z');

/** A range as full as that, with as many blocks as its addresses need. */
function usage(of: Range, allocated: number, claimed = Math.ceil(allocated / 16)): RangeUsage {
  const unused = unusedRange(of);
  const blocks = { ...unused.blocks, claimed };
  return { ...unused, allocated, free: unused.capacity - allocated, blocks };
}

/** Eight days of samples. */
const week = (ranges: (hoursAgo: number) => Record<string, RangeSample>): UsageSample[] =>
  Array.from({ length: 192 }, (_, i) => sampleOf(NOW - (191 - i) * HOUR - 600_000, ranges(191 - i)));

const daysOf = ({ addresses }: RoomsForecast, pace: 'day' | 'week' = 'week'): number | string => {
  const outlook = addresses.outlooks[pace];
  return outlook.kind === 'grows' ? Math.round((outlook.fullAt - NOW) / DAY) : outlook.kind;
};

suite('until when ranges last', () => {
  const blue = range('10.20.0.0/22', { name: 'blue', gateway: '10.20.0.1' });
  const red = range('10.30.0.0/22', { name: 'red', gateway: '10.30.0.1' });
  const growing = week((ago) => ({ blue: taken('10.20.0.0/22', 900 - ago, 60 - Math.floor(ago / 48)) }));

  test('a range by its addresses and by its blocks', () => {
    const { ranges } = forecastsOf([usage(blue, 900, 60)], [], growing, NOW);
    const found = ranges.get('blue');
    assert.ok(found);
    // 121 are free at 24 a day; 4 blocks at one every other day.
    assert.equal(daysOf(found), 5);
    assert.equal(daysOf(found, 'day'), 5);
    const { blocks } = found;
    assert.equal(blocks.outlooks.week.kind, 'grows');
    assert.equal(blocks.capacity - blocks.taken, 4);
  });

  test('excluding addresses, or adding a range, counts at once', () => {
    const less = range('10.20.0.0/22', {
      name: 'blue',
      gateway: '10.20.0.1',
      exclude: ['10.20.0.2-10.20.0.49'],
    });
    const of = (usages: RangeUsage[]) => forecastsOf(usages, [], growing, NOW);
    const shorter = of([usage(less, 900, 60)]).ranges.get('blue');
    assert.equal(shorter && daysOf(shorter), 3);
    const both = of([usage(blue, 900, 60), usage(red, 0)]);
    const together = both.families.get(4);
    assert.equal(together && daysOf(together), Math.round((121 + 1021) / 24));
    assert.deepEqual([...both.ranges.keys()], ['blue', 'red']);
    assert.equal(both.ranges.get('red')?.addresses.outlooks.week.kind, 'too-early');
  });

  test('what one range hands to the next is no growth of both together', () => {
    const moving = week((ago) => ({
      old: taken('10.10.0.0/22', Math.min(500, ago * 3)),
      blue: taken('10.20.0.0/22', 600 - Math.min(500, ago * 3)),
    }));
    const of = forecastsOf([usage(blue, 600)], [], moving, NOW);
    const [alone, together] = [of.ranges.get('blue'), of.families.get(4)];
    assert.ok(alone && together);
    assert.ok(typeof daysOf(alone) === 'number');
    assert.equal(daysOf(together), 'lasts', 'the old range is gone, and its pods are in blue');
  });

  test('a draining range has no forecast, and no room for the others', () => {
    const draining: Range = { ...red, state: 'draining' };
    const of = forecastsOf([usage(blue, 900, 60), usage(draining, 100)], [], growing, NOW);
    assert.equal(of.ranges.get('red'), undefined);
    const together = of.families.get(4);
    assert.equal(together && together.addresses.capacity - together.addresses.taken, 121);
  });

  test('a range that was removed and added anew with another subnet begins anew', () => {
    const other = range('10.99.0.0/24', { name: 'blue' });
    const { ranges } = forecastsOf([usage(other, 3)], [], growing, NOW);
    assert.equal(ranges.get('blue')?.addresses.outlooks.day.kind, 'too-early');
  });

  test('a rule lasts as long as its ranges; with a fallback, as long as all', async () => {
    const world = new World();
    await addRange(world.ipam, blue);
    await addRange(world.ipam, { ...red, namedOnly: true });
    const rule = { ...owns('web'), ranges: ['red'] };
    const samples = week((ago) => ({
      blue: taken('10.20.0.0/22', 900 - ago),
      red: taken('10.30.0.0/22', 1_000),
    }));
    const usages = [usage(blue, 900), usage({ ...red, namedOnly: true }, 1_000)];
    const of = (each: typeof rule) => forecastsOf(usages, [each], samples, NOW).rules.get('web')?.get(4);
    const [own, any] = [of(rule), of({ ...rule, fallback: true })];
    assert.deepEqual([own && daysOf(own), any && daysOf(any)], ['lasts', 5]);
  });

  test('a cluster of 550 ranges takes a second at most', () => {
    const many = Array.from({ length: 550 }, (_, i) =>
      range(`10.${20 + Math.floor(i / 64)}.${(i % 64) * 4}.0/22`, { name: `r${i}` }),
    );
    const texts = many.map(({ name, cidr }) => [name, formatCidr(cidr)] as const);
    const samples = week((ago) =>
      Object.fromEntries(texts.map(([name, cidr]) => [name, taken(cidr, 900 - ago, 60)])),
    );
    const began = performance.now();
    const { ranges } = forecastsOf(
      many.map((each) => usage(each, 900)),
      [],
      samples,
      NOW,
    );
    assert.equal(ranges.size, 550);
    const took = performance.now() - began;
    assert.ok(took < 5_000, `${took} ms`);
  });
});

suite('the next range', () => {
  const blue = range('10.20.0.0/22', { name: 'blue', gateway: '10.20.0.1' });
  const next = (perDay: number, used: number, ranges: Range[] = [blue]): NextRange | undefined => {
    const samples = week((ago) => ({ blue: taken('10.20.0.0/22', Math.round(used - (ago * perDay) / 24)) }));
    const of = forecastsOf([usage(blue, used, 0)], [], samples, NOW).families.get(4);
    return of && nextRange(4, of, ranges, NOW);
  };

  test('is as large, beside, with the days it would last; and the size that lasts a quarter', () => {
    const found = next(24, 500);
    assert.ok(found?.beside && found.size);
    assert.equal(formatCidr(found.beside.cidr), '10.20.4.0/22');
    assert.equal(Math.round(found.beside.days), Math.round(1021 / 24));
    assert.equal(found.size.prefixLength, 20);
    assert.equal(Math.round((found.fullAt - NOW) / DAY), Math.round(521 / 24));
    assert.equal(found.fullAt - found.askAt, 14 * DAY);
    assert.equal(found.what, 'addresses');
  });

  test('passes over what is taken, ends at the last address, and is silent while all last', () => {
    const taken = [blue, range('10.20.4.0/24'), range('10.20.11.0/24')];
    assert.equal(formatCidr(next(24, 500, taken)?.beside?.cidr ?? blue.cidr), '10.20.12.0/22');
    const top = range('223.255.252.0/22', { name: 'top' });
    assert.equal(next(24, 500, [top])?.beside, undefined);
    assert.equal(next(1, 500), undefined);
    assert.equal(next(0, 500), undefined);
  });

  test('does not leave the private networks where the present ranges are', () => {
    const beside = (cidr: string): string | undefined => {
      const found = next(24, 500, [range(cidr, { name: 'last' })])?.beside;
      return found && formatCidr(found.cidr);
    };
    assert.equal(beside('192.168.248.0/22'), '192.168.252.0/22');
    assert.equal(beside('192.168.252.0/22'), undefined);
    assert.equal(beside('10.255.252.0/22'), undefined);
    assert.equal(beside('172.31.252.0/22'), undefined);
    assert.equal(beside('100.127.252.0/22'), undefined);
    assert.equal(beside('198.51.100.0/24'), '198.51.101.0/24');
  });

  test('full and not growing: now, and nothing tells how long another would last', () => {
    const full = next(0, 1_021);
    assert.equal(full?.fullAt, NOW);
    assert.equal(full.beside?.days, Infinity);
  });
});
