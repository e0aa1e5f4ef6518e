/**
 * Tests the races that made other cleaners free living addresses, each in a forced order. The tests
 * order the requests to a real etcd. The test API server changes, lies and dies at the page that a
 * test names. docs/tested-races.md lists the races.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { listBlocks } from '../../../ipam/query/views.ts';
import { release } from '../../../ipam/release/release.ts';
import { CliWorld } from '../../golden/world.ts';
import { node, staticPod } from '../../support/kube-api.ts';
import { uid, useRaces } from './race.ts';

suite('races of check and release', () => {
  const races = useRaces();

  test('a pod that is made while allocations are read, before pods are listed, is no leak', async (t) => {
    const race = await races.start(t);
    let made = '';
    race.store.before = async (request, what) => {
      if (request !== 'scan' || what !== 'blocks/' || made !== '') return;
      assert.equal(race.podRequests(), 0, 'allocations come first');
      made = 'under way';
      made = await race.give('node-1', 'late', 1);
      race.live('late', 1, 'node-1', made);
    };
    const ran = await race.check();
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal((await race.given())[made], 'c-late');
  });

  test('a pod that is made between the allocations and the pods is neither a leak nor missing', async (t) => {
    const race = await races.start(t);
    let made = '';
    race.onKube(({ walkPods }) => ({
      walkPods: async (sink, options) => {
        made ||= await race.give('node-1', 'late', 1);
        race.live('late', 1, 'node-1', made);
        return await walkPods(sink, options);
      },
    }));
    const ran = await race.check();
    assert.equal(ran.status, 0, ran.stdout + ran.stderr);
    assert.match(ran.stderr, /0 suspected leaks, 1 missing: looking again/);
    assert.equal((await race.given())[made], 'c-late');
  });

  test('a StatefulSet pod made again under its name on another node during a check keeps its new address', async (t) => {
    const race = await races.start(t);
    const old = await race.give('node-1', 'db-0', 1);
    let fresh = '';
    race.world.meanwhile = async () => {
      fresh = await race.give('node-2', 'db-0', 2, 'c-new');
      race.live('db-0', 2, 'node-2', fresh);
    };
    const ran = await race.check();
    assert.match(ran.stderr, new RegExp(`${old} released \\(pod-replaced\\)`));
    const given = await race.given();
    assert.deepEqual([given[old], given[fresh]], [undefined, 'c-new']);
  });

  test('a StatefulSet pod made again between the second and the last look frees nothing but its former address', async (t) => {
    const race = await races.start(t);
    const old = await race.give('node-1', 'db-0', 1);
    let asked = 0;
    let fresh = '';
    race.onKube(({ getPod }) => ({
      getPod: async (namespace, name) => {
        if (name === 'db-0' && ++asked === 2) {
          fresh = await race.give('node-2', 'db-0', 2, 'c-new');
          race.live('db-0', 2, 'node-2', fresh);
        }
        return await getPod(namespace, name);
      },
    }));
    const ran = await race.check();
    assert.match(ran.stderr, new RegExp(`${old} released \\(pod-replaced\\)`));
    assert.equal((await race.given())[fresh], 'c-new');
  });

  test('a node deleted and made again during a late clean-up: what lives again is kept', async (t) => {
    const race = await races.start(t);
    const again = await race.give('node-2', 'static-node-2', 'hash-1');
    const gone = await race.give('node-2', 'gone', 3);
    race.api.nodes.delete('/node-2');
    const saved = await race.check('--save report.json -o json');
    assert.equal(saved.status, 1);
    assert.match(saved.stdout, /"reason": "node-gone"/);
    race.api.putNode(node({ name: 'node-2', ready: false }));
    // The static pod comes back unchanged, in its earlier sandbox.
    race.api.putPod(
      staticPod({ namespace: 'shop', name: 'static', node: 'node-2', uid: uid(9), configHash: 'hash-1' }),
    );
    const ran = await race.world.run('release --from-report report.json --yes');
    assert.equal(ran.status, 2, ran.stderr);
    assert.match(ran.stdout, new RegExp(`${again} kept: pod shop/static-node-2 lives`));
    const given = await race.given();
    assert.deepEqual([given[again], given[gone]], ['c-static-node-2', undefined]);
  });

  test('a node that returns after its addresses were given away frees nothing of their new owners', async (t) => {
    const race = await races.start(t, 4);
    const old = await race.give('node-1', 'gone', 1);
    assert.match((await race.check()).stderr, new RegExp(`${old} released`));
    for (let n = 10; n < 15; n++) await race.give('node-1', `new-${n}`, n);
    const before = await race.given();
    assert.notEqual(before[old], undefined, 'somebody else has it');
    const released = await release(race.ipam, {
      node: 'node-1',
      attachment: { containerId: 'c-gone', ifname: 'eth0' },
      allocatedUntil: race.world.ipam.now,
      cause: { why: 'del' },
    });
    assert.deepEqual(released, []);
    assert.deepEqual(await race.given(), before);
  });

  test('a DEL that comes after the release changes nothing', async (t) => {
    const race = await races.start(t);
    await race.give('node-1', 'gone', 1);
    await race.check();
    const blocks = await listBlocks(race.ipam);
    const attachment = { containerId: 'c-gone', ifname: 'eth0' };
    assert.deepEqual(await release(race.ipam, { node: 'node-1', attachment, cause: { why: 'del' } }), []);
    assert.deepEqual(await listBlocks(race.ipam), blocks);
  });

  test('a DEL between the last look and the write is not taken for the leak of the next owner', async (t) => {
    const race = await races.start(t, 4);
    const old = await race.give('node-1', 'gone', 1);
    let done = false;
    race.store.before = async (request) => {
      if (request !== 'commit' || done) return;
      done = true;
      await release(race.ipam, {
        node: 'node-1',
        attachment: { containerId: 'c-gone', ifname: 'eth0' },
        cause: { why: 'del' },
      });
      for (let n = 10; n < 15; n++) await race.give('node-1', `new-${n}`, n);
    };
    const ran = await race.check();
    assert.match(ran.stderr, new RegExp(`${old} kept: it has another owner now`));
    assert.match((await race.given())[old] ?? '', /^c-new/);
  });

  test('two checks that release at once release each address once', async (t) => {
    const race = await races.start(t);
    const ips = [await race.give('node-1', 'a', 1), await race.give('node-1', 'b', 2)];
    const other = new CliWorld();
    other.store = race.store;
    other.kube = races.connect(t, race.api);
    let waiting: (() => void)[] = [];
    // Both checks read the block before either writes it.
    race.store.before = (request) =>
      request !== 'commit'
        ? Promise.resolve()
        : new Promise((resolve) => {
            waiting.push(resolve);
            if (waiting.length < 2) return;
            race.store.before = () => Promise.resolve();
            waiting.forEach((go) => go());
            waiting = [];
          });
    const [one, two] = await Promise.all([race.check(), other.run('check --grace 0 --release --yes')]);
    const told = one.stderr + two.stderr;
    for (const ip of ips) {
      assert.equal(told.split(`${ip} released`).length - 1, 1, told);
      assert.equal(told.split(`${ip} is not given out`).length - 1, 1, told);
    }
    assert.deepEqual([one.status, two.status], [0, 0]);
    const [view] = (await listBlocks(race.ipam)).blocks;
    assert.equal(view?.block.sequence, 5, 'three were given and two released, each in one step');
  });

  test('a superseded sandbox is released, as long as the newer one lives at the last look', async (t) => {
    for (const newerEnds of [false, true]) {
      const race = await races.start(t);
      const older = await race.give('node-1', 'web-1', 1, 'c-older');
      race.world.ipam.now += 1000;
      const newer = await race.give('node-1', 'web-1', 1, 'c-newer');
      race.live('web-1', 1, 'node-1', newer);
      let asked = 0;
      race.onKube(({ getPod }) => ({
        getPod: async (namespace, name) => {
          const pod = await getPod(namespace, name);
          // The newer sandbox failed: the kubelet reports the older sandbox's address again.
          return ++asked > 1 && newerEnds && pod ? { ...pod, podIPs: [older] } : pod;
        },
      }));
      const ran = await race.check();
      const given = await race.given();
      assert.equal(given[newer], 'c-newer');
      if (newerEnds) assert.match(ran.stderr, new RegExp(`${older} kept: pod shop/web-1 lives`));
      else assert.match(ran.stderr, new RegExp(`${older} released \\(superseded\\)`));
      assert.equal(given[older], newerEnds ? 'c-older' : undefined);
    }
  });
});
