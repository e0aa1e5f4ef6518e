import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  firstFullAt,
  median,
  outlookOf,
  outlooksOf,
  paceOf,
  type Point,
} from '../../../ipam/query/forecast.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.parse('2026-01-09T00:20:00Z');

/** One point for each of the hours before NOW, taken at some minute of the hour. */
const hours = (
  count: number,
  value: (hoursAgo: number) => number,
  minute: (i: number) => number = () => 0,
): Point[] =>
  Array.from({ length: count }, (_, i) => {
    const ago = count - 1 - i;
    return { at: NOW - 20 * 60_000 - ago * HOUR + minute(i) * 60_000, value: value(ago) };
  });

const perDay = (points: readonly Point[], window: 'day' | 'week'): number => {
  const pace = paceOf(points, window, NOW);
  assert.ok(pace.kind === 'known', JSON.stringify(pace));
  return pace.perDay;
};
const near = (actual: number, expected: number, within: number): void =>
  assert.ok(Math.abs(actual - expected) <= within, `${actual}: expected ${expected}, within ${within}`);

suite('the pace of the day and the week', () => {
  test('steady growth is told by both, whenever in the hour the samples were taken', () => {
    const points = hours(
      192,
      (ago) => 1_000 - ago * 2,
      (i) => (i * 7) % 30,
    );
    near(perDay(points, 'day'), 48, 2);
    near(perDay(points, 'week'), 48, 1);
  });

  test('a day of growth after a quiet week: the day tells it, the week does not yet', () => {
    const points = hours(192, (ago) => 500 - Math.min(ago, 36) * 4);
    near(perDay(points, 'day'), 96, 1);
    near(perDay(points, 'week'), 0, 12);
  });

  test('daily rise and fall is no growth, at whatever hour one looks', () => {
    for (let shift = 0; shift < 24; shift++) {
      const swing = (ago: number): number => 500 + 200 * Math.sin(((ago + shift) / 24) * 2 * Math.PI);
      near(perDay(hours(192, swing), 'day'), 0, 0.001);
      near(perDay(hours(192, swing), 'week'), 0, 0.001);
      near(
        perDay(
          hours(192, (ago) => swing(ago) - ago),
          'day',
        ),
        24,
        0.001,
      );
    }
  });

  test('bursts of rolling updates, for some hours, are no growth', () => {
    const burst = (ago: number): number => (ago % 24 < 5 && ago < 72 ? 900 : 400);
    near(
      perDay(
        hours(192, (ago) => (ago > 6 && ago < 12 ? 900 : 400)),
        'day',
      ),
      0,
      0.001,
    );
    near(perDay(hours(192, burst), 'week'), 0, 0.001);
    near(
      perDay(
        hours(30, (ago) => (ago < 3 ? 900 : 400)),
        'day',
      ),
      0,
      0.001,
    );
  });

  test('what was deployed once is no growth of the week', () => {
    for (const day of [1, 2, 3, 4, 5, 6, 7])
      near(
        perDay(
          hours(192, (ago) => (ago < day * 24 ? 700 : 400)),
          'week',
        ),
        0,
        0.001,
      );
  });

  test('what was deployed in the last hours is no growth of the day', () => {
    for (let since = 1; since <= 14; since++)
      near(
        perDay(
          hours(192, (ago) => (ago < since ? 700 : 400)),
          'day',
        ),
        0,
        0.001,
      );
  });

  test('a block every other day is seen by the week', () => {
    near(
      perDay(
        hours(192, (ago) => 20 - Math.floor(ago / 48)),
        'week',
      ),
      0.5,
      0.1,
    );
  });

  test('too early: how many hours there are, of how many', () => {
    assert.deepEqual(paceOf([], 'day', NOW), { kind: 'too-early', hours: 0, neededHours: 24 });
    assert.deepEqual(
      paceOf(
        hours(3, () => 1),
        'day',
        NOW,
      ),
      {
        kind: 'too-early',
        hours: 3,
        neededHours: 24,
      },
    );
    assert.deepEqual(
      paceOf(
        hours(100, () => 1),
        'week',
        NOW,
      ),
      {
        kind: 'too-early',
        hours: 100,
        neededHours: 168,
      },
    );
    const twice = hours(6, () => 1).flatMap((point) => [point, { ...point, at: point.at + 1_000 }]);
    assert.deepEqual(paceOf(twice, 'day', NOW), { kind: 'too-early', hours: 6, neededHours: 24 });
  });

  test('some missing hours do no harm; a day that is missing altogether is told', () => {
    const points = hours(192, (ago) => 1_000 - ago);
    const gaps = points.filter((_, i) => i % 5 !== 0);
    near(perDay(gaps, 'day'), 24, 0.001);
    near(perDay(gaps, 'week'), 24, 0.001);
    assert.equal(paceOf(points.slice(0, -24), 'day', NOW).kind, 'too-early');
  });

  test('samples by a clock that is ahead count for nothing', () => {
    const ahead = hours(48, () => 5_000).map((point) => ({ ...point, at: point.at + 60 * DAY }));
    near(perDay([...hours(192, (ago) => 1_000 - ago), ...ahead], 'week'), 24, 0.001);
  });

  test('for any growth, any noise and some wild samples: near the growth', () => {
    const anyNoise = fc.array(fc.integer({ min: -10, max: 10 }), { minLength: 192, maxLength: 192 });
    const anyWild = fc.array(fc.tuple(fc.nat(191), fc.nat(100_000)), { maxLength: 12 });
    fc.assert(
      fc.property(fc.integer({ min: -50, max: 200 }), anyNoise, anyWild, (growth, noise, wild) => {
        const points = hours(192, (ago) => 10_000 - (growth / 24) * ago + (noise[ago] ?? 0));
        const spoilt = points.map((point, i) => ({
          ...point,
          value: wild.find(([at]) => at === i)?.[1] ?? point.value,
        }));
        near(perDay(spoilt, 'week'), growth, 5);
        near(perDay(points, 'day'), growth, 20);
      }),
      { numRuns: 60 },
    );
  });

  test('shifting or turning the numbers shifts or turns the pace', () => {
    const anyValues = fc.array(fc.nat(2_000), { minLength: 192, maxLength: 192 });
    fc.assert(
      fc.property(
        anyValues,
        fc.nat(1_000),
        fc.constantFrom('day' as const, 'week' as const),
        (values, by, window) => {
          const points = hours(192, (ago) => values[ago] ?? 0);
          const pace = perDay(points, window);
          near(
            perDay(
              points.map(({ at, value }) => ({ at, value: value + by })),
              window,
            ),
            pace,
            1e-6,
          );
          near(
            perDay(
              points.map(({ at, value }) => ({ at, value: -value })),
              window,
            ),
            -pace,
            1e-6,
          );
          near(perDay(points.toReversed(), window), pace, 1e-6);
        },
      ),
      { numRuns: 30 },
    );
  });
});

suite('when something is full', () => {
  const known = (perDay: number) => ({ kind: 'known', perDay }) as const;

  test('what is free, by the pace', () => {
    assert.deepEqual(outlookOf(known(40), 400, NOW), { kind: 'grows', perDay: 40, fullAt: NOW + 10 * DAY });
  });

  test('full now; not at this pace; nothing known', () => {
    assert.deepEqual(outlookOf(known(-3), 0, NOW), { kind: 'full' });
    assert.deepEqual(outlookOf(known(0), 5, NOW), { kind: 'lasts', perDay: 0 });
    assert.deepEqual(outlookOf(known(-3), 5, NOW), { kind: 'lasts', perDay: -3 });
    assert.deepEqual(outlookOf(known(0.001), 500, NOW), { kind: 'lasts', perDay: 0.001 });
    const early = { kind: 'too-early', hours: 3, neededHours: 24 } as const;
    assert.deepEqual(outlookOf(early, 5, NOW), early);
    assert.deepEqual(outlookOf(early, 0, NOW), { kind: 'full' });
  });

  test('of two paces the earlier time counts', () => {
    const day = { kind: 'grows', perDay: 1, fullAt: 20 } as const;
    assert.equal(firstFullAt({ day, week: { ...day, fullAt: 10 } }, 5), 10);
    assert.equal(firstFullAt({ day, week: { kind: 'lasts', perDay: 0 } }, 5), 20);
    assert.equal(firstFullAt({ day, week: { kind: 'full' } }, 5), 5);
    assert.equal(
      firstFullAt({ day: { kind: 'lasts', perDay: 0 }, week: { kind: 'lasts', perDay: 0 } }, 5),
      undefined,
    );
  });

  test('more free is never full sooner, for any samples', () => {
    const anyPoints = fc.array(fc.nat(1_000), { minLength: 192, maxLength: 192 });
    fc.assert(
      fc.property(anyPoints, fc.nat(5_000), fc.nat(5_000), (values, free, more) => {
        const points = hours(192, (ago) => values[ago] ?? 0);
        const at = (left: number): number => firstFullAt(outlooksOf(points, left, NOW), NOW) ?? Infinity;
        assert.ok(at(free) <= at(free + more));
        assert.ok(at(free) >= NOW);
      }),
      { numRuns: 30 },
    );
  });

  test('median', () => {
    assert.deepEqual([median([]), median([3]), median([3, 1]), median([9, 1, 5])], [0, 3, 2, 5]);
  });
});
