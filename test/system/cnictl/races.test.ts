import { directIpam } from '../../../ipam/node/ipam.ts';
/**
 * The races that made other cleaners free living addresses, each with its order forced: real etcd, whose requests a test
 * orders, and the test API server, which changes, lies and dies at the page that a test names. docs/operations.md lists them.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import type { KubeApi } from '../../../cni/kube/api.ts';
import { connectKube } from '../../../cni/kube/connect.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { usedSlots } from '../../../ipam/model/block.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { listBlocks } from '../../../ipam/query/views.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { CliWorld, type Ran } from '../../golden/world.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { HookedStore } from '../../support/hooked-store.ts';
import { lies, node, startKubeApi, staticPod, type KubeApiServer } from '../../support/kube-api.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { owner, range } from '../../unit/ipam/world.ts';
import type { Ipam } from '../../../ipam/node/ipam.ts';
import { release } from '../../../ipam/release/release.ts';

const uid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

suite('races of check and release', () => {
  let scope: Scope;
  let etcd: Etcd;
  let dir: string;
  let prefixes = 0;
  let files = 0;

  before(async () => {
    scope = newScope();
    dir = await scope.tempDir();
    etcd = scope.use(await startEtcd());
  });
  after(() => scope.close());

  /** Quick to try again, and quick to give up; a command that ends does not end it. */
  const connect = (t: TestContext, api: KubeApiServer): KubeApi => {
    const kubeconfig = join(dir, `kubeconfig-${++files}`);
    api.writeKubeconfig(kubeconfig);
    const kube = connectKube({ kubeconfig, env: {}, deadlineMs: 20_000, retryPauseMs: 5, idleMs: 2_000 });
    t.after(() => kube.close());
    return { ...kube, close: () => undefined };
  };

  /** A cluster for one test: a prefix of etcd and an API server of its own. */
  class Race {
    readonly api: KubeApiServer;
    readonly store: HookedStore;
    readonly ipam: Ipam;
    readonly world: CliWorld;
    readonly #kube: KubeApi;

    constructor(api: KubeApiServer, kube: KubeApi, store: HookedStore, world: CliWorld) {
      this.api = api;
      this.#kube = kube;
      this.store = store;
      this.world = world;
      this.ipam = directIpam(store, world.ipam.effects);
    }

    static async start(t: TestContext, blockSize = 16): Promise<Race> {
      const api = await startKubeApi();
      t.after(() => api.close());
      const store = new HookedStore(
        openEtcdStore({ endpoints: etcd.endpoints, prefix: `/race-${++prefixes}` }),
      );
      t.after(() => store.close());
      const race = new Race(api, connect(t, api), store, new CliWorld());
      race.world.store = store;
      race.onKube(() => ({}));
      await addRange(race.ipam, range('10.20.0.0/22', { name: 'blue', cooldownMs: 0, blockSize }));
      for (const name of ['node-1', 'node-2']) api.putNode(node({ name }));
      // Somebody lives, so that the API server is believed.
      await race.give('node-1', 'web-0', 100);
      race.live('web-0', 100);
      return race;
    }

    /** Puts something in the way of requests to the API server. */
    onKube(change: (kube: KubeApi) => Partial<KubeApi>): void {
      this.world.kube = { ...this.#kube, ...change(this.#kube) };
    }

    async give(onNode: string, name: string, n: number | string, containerId = `c-${name}`): Promise<string> {
      const podUid = typeof n === 'number' ? uid(n) : n;
      const given = await allocate(this.ipam, {
        node: onNode,
        owner: owner(containerId, { podNamespace: 'shop', podName: name, podUid }),
        families: [4],
      });
      return given.map(({ address }) => formatAddress(address)).join();
    }

    live(name: string, n: number, onNode = 'node-1', ip?: string): void {
      this.api.putPod({ namespace: 'shop', name, uid: uid(n), node: onNode, ...(ip && { ip }) });
    }

    check(more = '--release --yes'): Promise<Ran> {
      return this.world.run(`check --grace 0 ${more}`);
    }

    /** Who has what, in etcd. */
    async given(): Promise<Record<string, string>> {
      const views = await listBlocks(this.ipam);
      return Object.fromEntries(
        views.flatMap(({ block }) =>
          usedSlots(block).map(({ address, slot }) => [formatAddress(address), slot.owner.containerId]),
        ),
      );
    }

    podRequests(): number {
      return this.api.requests.filter(({ path }) => path === '/api/v1/pods').length;
    }
  }

  test('a pod that is made while allocations are read, before pods are listed, is no leak', async (t) => {
    const race = await Race.start(t);
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
    const race = await Race.start(t);
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
    const race = await Race.start(t);
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
    const race = await Race.start(t);
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
    const race = await Race.start(t);
    const again = await race.give('node-2', 'static-node-2', 'hash-1');
    const gone = await race.give('node-2', 'gone', 3);
    race.api.nodes.delete('/node-2');
    const saved = await race.check('--save report.json -o json');
    assert.equal(saved.status, 1);
    assert.match(saved.stdout, /"reason": "node-gone"/);
    race.api.putNode(node({ name: 'node-2' }));
    // The static pod comes back as it was, in the sandbox that it had.
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
    const race = await Race.start(t, 4);
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
    const race = await Race.start(t);
    await race.give('node-1', 'gone', 1);
    await race.check();
    const blocks = await listBlocks(race.ipam);
    const attachment = { containerId: 'c-gone', ifname: 'eth0' };
    assert.deepEqual(await release(race.ipam, { node: 'node-1', attachment, cause: { why: 'del' } }), []);
    assert.deepEqual(await listBlocks(race.ipam), blocks);
  });

  test('a DEL between the last look and the write is not taken for the leak of the next owner', async (t) => {
    const race = await Race.start(t, 4);
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
    const race = await Race.start(t);
    const ips = [await race.give('node-1', 'a', 1), await race.give('node-1', 'b', 2)];
    const other = new CliWorld();
    other.store = race.store;
    other.kube = connect(t, race.api);
    let waiting: (() => void)[] = [];
    // Both have read the block before either writes it.
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
    const [view] = await listBlocks(race.ipam);
    assert.equal(view?.block.sequence, 5, 'three were given and two released, each in one step');
  });

  for (const [what, at] of [
    ['second', 1],
    ['last', 2],
  ] as const) {
    test(`an API server that answers stale at the ${what} look: nothing is released`, async (t) => {
      const race = await Race.start(t);
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

  /** Beyond a page, so that a list has several. */
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
      const race = await Race.start(t);
      const ip = await race.give('node-1', 'gone', 1);
      crowd(race);
      race.api.faults.when(({ page }) => (page === 2 ? fault : undefined));
      const ran = await race.check();
      assert.deepEqual([ran.status, ran.stdout], [2, '']);
      assert.equal((await race.given())[ip], 'c-gone');
    });
  }

  test('a list that began anew after 410 Gone counts what it says then, not what it said before', async (t) => {
    const race = await Race.start(t);
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
    const race = await Race.start(t);
    const ip = await race.give('node-1', 'gone', 1);
    race.api.faults.push({ kind: 'status', status: 429, reason: 'TooManyRequests', retryAfter: 1 });
    const ran = await race.check();
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal((await race.given())[ip], undefined);
  });

  test('an API server that dies before the last look: what was released by then is told, the rest is kept', async (t) => {
    const race = await Race.start(t, 4);
    for (let n = 1; n <= 8; n++) await race.give('node-1', `gone-${n}`, n);
    let asked = 0;
    race.onKube(({ getPod }) => ({
      getPod: (namespace, name) => {
        // Eight in the second look; then four blocks are looked at side by side.
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
      const race = await Race.start(t);
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
      const race = await Race.start(t);
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

  test('a superseded sandbox is released, as long as the newer one lives at the last look', async (t) => {
    for (const newerEnds of [false, true]) {
      const race = await Race.start(t);
      const older = await race.give('node-1', 'web-1', 1, 'c-older');
      race.world.ipam.now += 1000;
      const newer = await race.give('node-1', 'web-1', 1, 'c-newer');
      race.live('web-1', 1, 'node-1', newer);
      let asked = 0;
      race.onKube(({ getPod }) => ({
        getPod: async (namespace, name) => {
          const pod = await getPod(namespace, name);
          // The newer sandbox failed: the kubelet reports the older one's address again.
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
