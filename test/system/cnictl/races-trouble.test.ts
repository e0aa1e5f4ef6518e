/**
 * Tests check and release while etcd, the API server or the clock is in trouble at a forced moment.
 * The tests order the requests to a real etcd. The test API server lies and dies at the page that a
 * test names. docs/tested-races.md lists the races.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { lies } from '../../support/kube-api.ts';
import { uid, useRaces, type Race } from './race.ts';

suite('check and release in trouble', () => {
  const races = useRaces();

  for (const [what, at] of [
    ['second', 1],
    ['last', 2],
  ] as const) {
    test(`an API server that answers stale at the ${what} look: nothing is released`, async (t) => {
      const race = await races.start(t);
      const ip = await race.give('node-1', 'gone', 1);
      let asked = 0;
      race.api.faults.when(({ query }) =>
        query.get('limit') === '1' && ++asked === at ? lies.resourceVersion(1, '7') : undefined,
      );
      const ran = await race.check();
      assert.equal(ran.status, 2, ran.stdout);
      assert.match(ran.stderr, /went back in time.*\n {2}Nothing was concluded/);
      assert.equal((await race.given())[ip], 'c-gone');
    });
  }

  /** Adds more pods than a page holds, so that a list has several pages. */
  const crowd = (race: Race): void => {
    for (let n = 0; n < 1_100; n++)
      race.api.putPod({ namespace: 'bulk', name: `p${n}`, uid: uid(1000 + n), node: 'node-1' });
  };

  for (const [what, fault] of [
    ['answers a part of the list', lies.dropTail(2, 100)],
    ['answers 410 Gone at each second page', { kind: 'status', status: 410, reason: 'Expired' }],
    ['answers 429 without end', { kind: 'status', status: 429, reason: 'TooManyRequests', retryAfter: 0 }],
    ['dies between two pages', { kind: 'reset' }],
    ['cuts a page off', { kind: 'cut-unnoticed', afterBytes: 5_000 }],
  ] as const) {
    test(`an API server that ${what}: status 2, nothing is released`, async (t) => {
      const race = await races.start(t);
      const ip = await race.give('node-1', 'gone', 1);
      crowd(race);
      race.api.faults.when(({ page }) => (page === 2 ? fault : undefined));
      const ran = await race.check();
      assert.deepEqual([ran.status, ran.stdout], [2, '']);
      assert.equal((await race.given())[ip], 'c-gone');
    });
  }

  test('a list that began again after 410 Gone counts what it says then, not what it said before', async (t) => {
    const race = await races.start(t);
    const ip = await race.give('node-1', 'aaa', 1);
    const gone = await race.give('node-1', 'zzz', 2);
    race.live('zzz', 2);
    crowd(race);
    let compacted = false;
    race.api.faults.when(({ page }) => {
      if (page !== 2 || compacted) return undefined;
      compacted = true;
      race.live('aaa', 1);
      race.api.deletePod('shop', 'zzz');
      race.api.compact();
      return undefined;
    });
    const ran = await race.check();
    assert.equal(ran.status, 0, ran.stderr);
    const given = await race.given();
    assert.deepEqual([given[ip], given[gone]], ['c-aaa', undefined]);
  });

  test('429 with Retry-After is waited for, and the check goes on', async (t) => {
    const race = await races.start(t);
    const ip = await race.give('node-1', 'gone', 1);
    race.api.faults.push({ kind: 'status', status: 429, reason: 'TooManyRequests', retryAfter: 1 });
    const ran = await race.check();
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal((await race.given())[ip], undefined);
  });

  test('an API server that dies before the last look: what was released by then is told, the rest is kept', async (t) => {
    const race = await races.start(t, 4);
    for (let n = 1; n <= 8; n++) await race.give('node-1', `gone-${n}`, n);
    let asked = 0;
    race.onKube(({ getPod }) => ({
      getPod: (namespace, name) => {
        // The second look makes eight requests. The last look then examines four blocks at a time.
        if (++asked > 10) race.api.faults.when(() => ({ kind: 'reset' }));
        return getPod(namespace, name);
      },
    }));
    const ran = await race.check('--release --yes --log releases.jsonl');
    assert.equal(ran.status, 2, ran.stderr);
    const left = Object.values(await race.given()).filter((name) => name.startsWith('c-gone'));
    const told = [...ran.stderr.matchAll(/ released \(/g)].length;
    const logged = (race.world.files.get('releases.jsonl') ?? '').split('\n').filter(Boolean);
    assert.equal(told + left.length, 8);
    assert.ok(left.length > 0);
    assert.equal(logged.filter((line) => line.includes('"released"')).length, told);
  });

  test('etcd that fails between two pages, or at the second look: nothing is released', async (t) => {
    for (const [request, which] of [
      ['scan', 'blocks/ further'],
      ['scan', 'nodes/'],
      ['get', 'blocks/'],
    ] as const) {
      const race = await races.start(t);
      const ip = await race.give('node-1', 'gone', 1);
      race.store.before = (asked, what) =>
        asked === request && what.startsWith(which)
          ? Promise.reject(new Error('the connection broke'))
          : Promise.resolve();
      const ran = await race.check();
      race.store.before = () => Promise.resolve();
      assert.deepEqual([ran.status, ran.stdout], [2, ''], which);
      assert.equal((await race.given())[ip], 'c-gone');
    }
  });

  for (const [what, ms] of [
    ['a day ahead', 86_400_000],
    ['a day back', -86_400_000],
  ] as const) {
    test(`a clock that jumps ${what} during a check changes no verdict`, async (t) => {
      const race = await races.start(t);
      const gone = await race.give('node-1', 'gone', 1);
      const lives = await race.give('node-1', 'lives', 2);
      race.live('lives', 2);
      race.world.meanwhile = () => {
        race.world.ipam.now += ms;
        return Promise.resolve();
      };
      const ran = await race.check('--release --yes -o json');
      assert.equal(ran.status, 0, ran.stderr);
      const given = await race.given();
      assert.deepEqual([given[gone], given[lives]], [undefined, 'c-lives']);
      const { leaked } = JSON.parse(ran.stdout) as { leaked: { ageSeconds: number }[] };
      assert.deepEqual(
        leaked.map(({ ageSeconds }) => ageSeconds >= 0),
        [true],
      );
    });
  }
});
