/** Samples of the usage on a real etcd: of several writers one, and dates by a known pace. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { warmIpam, type WarmIpam } from '../../../cni/agent/warm-ipam.ts';
import { hostEffects } from '../../../cni/host/effects.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { parseCidr } from '../../../ipam/model/address.ts';
import { makeRange } from '../../../ipam/model/new-range.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { noLocalNode } from '../../../ipam/node/local-node.ts';
import { silentObserver } from '../../../ipam/node/observer.ts';
import { readForecasts } from '../../../ipam/query/forecasts.ts';
import { listRangeUsage } from '../../../ipam/query/range-usage.ts';
import { sampleUsage } from '../../../ipam/query/usage-samples.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import {
  encodeSample,
  HOUR_MS,
  sampleKey,
  SAMPLES,
  USAGE,
  type Forecast,
} from '../../../ipam/records/usage-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { scanAll } from '../../../ipam/store/store.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { until } from '../../support/proc.ts';
import { owner } from '../../unit/ipam/world.ts';

const DAY_MS = 24 * HOUR_MS;

suite('samples of the usage on etcd', () => {
  let scope: Scope;
  let etcd: Etcd;
  let prefixes = 0;
  before(async () => {
    scope = newScope();
    etcd = scope.use(await startEtcd());
  });
  after(() => scope.close());

  const open = (prefix: string): ReturnType<typeof openEtcdStore> => {
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix });
    scope.defer(() => store.close());
    return store;
  };
  /** Blue with 40 addresses used, on an etcd prefix of its own. */
  const made = async (): Promise<{ prefix: string; ipam: Ipam }> => {
    const prefix = `/test-${++prefixes}`;
    const ipam = directIpam(open(prefix), hostEffects);
    await addRange(ipam, makeRange({ cidr: parseCidr('10.20.0.0/24'), name: 'blue' }));
    for (let i = 0; i < 40; i++)
      await allocate(ipam, { node: 'n1', owner: owner(`c${i}`, { podNamespace: 'shop' }), families: [4] });
    return { prefix, ipam };
  };

  test('eight processes at the same moment: one writes, in one revision, and all have its forecast', async () => {
    const { prefix, ipam } = await made();
    const before = await etcd.revision();
    const forecasts = await Promise.all(
      Array.from({ length: 8 }, () => sampleUsage({ store: open(prefix), effects: hostEffects })),
    );
    assert.equal(await etcd.revision(), before + 1);
    for (const forecast of forecasts) assert.deepEqual(forecast, forecasts[0]);
    assert.deepEqual(forecasts[0]?.ranges.get('blue')?.addresses, { capacity: 254, taken: 40, fullAt: {} });
    const keys = (await scanAll(ipam.store, USAGE)).map(({ key }) => key);
    assert.deepEqual(keys, ['usage/forecast', sampleKey(hostEffects.now())]);
  });

  test('agents, with the clock of later hours: each hour one sample, and ADDs meanwhile', async () => {
    const { prefix, ipam } = await made();
    let ahead = 0;
    const told: (Forecast | undefined)[] = [];
    // Timers of minutes run after milliseconds, and the clock has gone on then.
    const effects = {
      ...hostEffects,
      now: () => hostEffects.now() + ahead,
      schedule: (ms: number, work: () => void) => hostEffects.schedule(ms > 1_000 ? 20 : ms, work),
    };
    const agents = Array.from({ length: 3 }, (): WarmIpam => {
      const etcdStore = open(prefix);
      return warmIpam({
        ...{ etcd: etcdStore, store: etcdStore, effects, local: noLocalNode, observer: silentObserver },
        log: { info: () => undefined, warn: () => undefined, error: () => undefined },
        ...{ since: 0, reconciles: () => true },
        usage: { told: (forecast) => void told.push(forecast), failed: () => assert.fail('a sample failed') },
      });
    });
    for (let hour = 1; hour <= 5; hour++) {
      await allocate(ipam, { node: 'n2', owner: owner(`later-${hour}`), families: [4] });
      await until(`the sample of hour ${hour}`, async () => (await ipam.store.count([SAMPLES]))[0] === hour);
      ahead += HOUR_MS;
    }
    for (const agent of agents) agent.retire();
    const taken = told.map((forecast) => forecast?.ranges.get('blue')?.addresses.taken ?? 0);
    assert.ok(Math.max(...taken) >= 44 && Math.min(...taken) >= 40, taken.join());
  });

  test('a range that filled at a known pace: the date, and hours that are too old are gone', async () => {
    const { ipam } = await made();
    const now = hostEffects.now();
    const hours = Array.from({ length: 230 }, (_, i) => i + 1);
    for (let i = 0; i < hours.length; i += 50)
      await ipam.store.commit(
        [],
        hours.slice(i, i + 50).map((ago) => {
          const at = now - ago * HOUR_MS;
          const blue = { cidr: '10.20.0.0/24', used: 400 - ago, kept: 0, blocks: 3 };
          const none = { rules: new Map(), namespaces: new Map() };
          return put(sampleKey(at), encodeSample({ at, ranges: new Map([['blue', blue]]), ...none }));
        }),
      );
    const { usages } = await listRangeUsage(ipam);
    const { forecasts, unreadable } = await readForecasts(ipam, usages);
    assert.deepEqual(unreadable, []);
    const { addresses, blocks } = forecasts.ranges.get('blue') ?? assert.fail();
    for (const outlook of [addresses.outlooks.day, addresses.outlooks.week]) {
      assert.ok(outlook.kind === 'grows', outlook.kind);
      // 214 are free, at 24 a day.
      assert.ok(Math.abs(outlook.fullAt - now - (214 / 24) * DAY_MS) < HOUR_MS, JSON.stringify(outlook));
    }
    assert.equal(blocks.outlooks.week.kind, 'lasts');
    await sampleUsage({ store: ipam.store, effects: hostEffects });
    assert.equal((await ipam.store.count([SAMPLES]))[0], 192);
  });
});
