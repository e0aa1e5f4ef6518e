import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { allocate } from '../../../../ipam/allocate/allocate.ts';
import { parseCidr } from '../../../../ipam/model/address.ts';
import { setNodeDraining } from '../../../../ipam/node/drain.ts';
import { parseAddress } from '../../../../ipam/model/address.ts';
import { addRange } from '../../../../ipam/ranges/ranges.ts';
import { encodeCluster, KUBERNETES_KEY } from '../../../../ipam/records/cluster-record.ts';
import { encodeLost, lostKey } from '../../../../ipam/records/lost-record.ts';
import { SET_BACK } from '../../../../ipam/records/set-back-record.ts';
import { put } from '../../../../ipam/records/transaction.ts';
import { release } from '../../../../ipam/release/release.ts';
import { CliWorld, container } from '../../../golden/world.ts';
import type { MemoryStore } from '../../../support/memory-store.ts';
import { owner, range } from '../../ipam/world.ts';

/**
 * Returns every key except those of living agents, which no backup has, and the set-back that a
 * restore tells.
 */
const content = ({ entries }: MemoryStore): Map<string, string> =>
  new Map(
    [...entries.values()]
      .filter(({ key }) => !key.startsWith('alive/') && key !== SET_BACK)
      .map(({ key, value }) => [key, value]),
  );
const empty = ({ entries }: MemoryStore): void => entries.clear();
/** Returns the container ID of a pod that the world begins with (n < 7), or of another pod. */
const idOf = (n: number): string => (n < 7 ? container(n) : `c${n}`);
const attachment = (n: number): { containerId: string; ifname: string } => ({
  containerId: idOf(n),
  ifname: 'eth0',
});

/**
 * Returns a world with a backup in /b. Every pod has its address, and the store holds a key of a
 * kind that this version does not know.
 */
const backedUp = async (): Promise<CliWorld> => {
  const world = await CliWorld.make();
  world.pods = world.pods.filter(({ name }) => name !== 'lost');
  await world.ipam.store.commit([], [put('history/10.20.0.16', '["kept as it is"]')]);
  const ran = await world.run('backup /b');
  assert.equal(ran.status, 0, ran.stderr);
  return world;
};

suite('restore into an empty prefix', () => {
  test('puts all back; again, it does nothing', async () => {
    const world = await backedUp();
    const { store } = world.ipam;
    const before = content(store);
    empty(store);
    const dry = await world.run('restore /b --dry-run');
    assert.equal(dry.status, 0, dry.stderr);
    assert.equal(store.entries.size, 0);
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 0, ran.stderr);
    assert.deepEqual(content(store), before);
    assert.deepEqual(world.ipam.problems(), []);
    const told = store.entries.get(SET_BACK);
    assert.match(told?.value ?? '', /"node":"operator","reason":"a backup of .* was restored"/);
    const { revision } = store;
    const again = await world.run('restore /b --yes');
    assert.deepEqual([again.status, store.revision], [0, revision]);
    assert.match(again.stdout, /0 keys written, \d+ there already/);
  });

  test('interrupted at any write, it gives out nothing, and goes on from there', async () => {
    const world = await backedUp();
    const { store, ipam } = world.ipam;
    const before = content(store);
    for (let lets = 0; ; lets++) {
      empty(store);
      let left = lets;
      store.before = (kind) =>
        kind === 'commit' && left-- === 0 ? Promise.reject(new Error('power cut')) : Promise.resolve();
      const cut = await world.run('restore /b --yes');
      store.before = () => Promise.resolve();
      if (cut.status === 0) {
        assert.ok(lets >= 2, 'blocks and ranges are two transactions at least');
        break;
      }
      await assert.rejects(
        allocate(ipam, { node: 'node-9', owner: owner('early'), families: [4] }),
        /exhausted|no IPv4|etcd holds no range/,
      );
      const ran = await world.run('restore /b --yes');
      assert.equal(ran.status, 0, ran.stderr);
      assert.deepEqual(content(store), before);
    }
  });

  test('a record that this version cannot read is put back as it is', async () => {
    const world = await CliWorld.make();
    await world.ipam.store.commit([], [put('blocks/blue/10.20.2.0/28', '{"v":9}')]);
    assert.match(
      (await world.run('backup /b')).stderr,
      /kept as it is: etcd key 'blocks\/blue\/10.20.2.0\/28'/,
    );
    const before = content(world.ipam.store);
    empty(world.ipam.store);
    const ran = await world.run('restore /b --yes --force');
    assert.equal(ran.status, 0, ran.stderr);
    assert.deepEqual(content(world.ipam.store), before);
  });

  test('is refused while a pod runs whose address it lacks', async () => {
    const world = await backedUp();
    empty(world.ipam.store);
    world.pods.push(world.pod(70, 'young', { podIPs: ['10.20.3.99'] }));
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 2);
    assert.match(
      ran.stderr,
      /1 running pod would have an address .* 10\.20\.3\.99 \(shop\/young\), and no agent lives on their nodes .*; nothing was restored/,
    );
    assert.equal(world.ipam.store.entries.size, 0);
    assert.equal((await world.run('restore /b --yes --force')).status, 0);
  });

  test('goes on where an agent lives on the node of such a pod, for it writes the address back', async () => {
    const world = await backedUp();
    const { store } = world.ipam;
    const alive = store.entries.get('alive/node-1')?.value ?? '';
    empty(store);
    await store.commit([], [put('alive/node-1', alive)]);
    world.pods.push(world.pod(70, 'young', { podIPs: ['10.20.3.99'], nodeName: 'node-1' }));
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stderr, /10\.20\.3\.99 \(shop\/young\); the agents of their nodes write them back/);
    world.pods.push(world.pod(71, 'younger', { podIPs: ['10.20.3.98'], nodeName: 'node-3' }));
    store.entries.delete('blocks/six/fd00:20::2c6f:5bd0:0:0/124');
    assert.equal((await world.run('restore /b --yes --merge')).status, 2);
  });

  test('is refused for a pod whose end is only announced, not for one that has ended', async () => {
    const ip = { podIPs: ['10.20.3.99'], deletionTimestamp: '2026-01-01T00:10:00Z' };
    for (const [hasRunningContainer, phase, status] of [
      [true, 'Running', 2],
      [true, 'Failed', 2],
      [false, 'Running', 0],
      [false, 'Failed', 0],
    ] as const) {
      const world = await backedUp();
      empty(world.ipam.store);
      world.pods.push(world.pod(70, 'ending', { ...ip, phase, hasRunningContainer }));
      const ran = await world.run('restore /b --yes');
      assert.equal(ran.status, status, `${phase} ${hasRunningContainer}: ${ran.stderr}`);
    }
  });
});

suite('restore into an etcd that forgot, where programs wrote meanwhile', () => {
  const cluster = (uid: string): string => encodeCluster({ uid, since: 1 });
  const lost = encodeLost({ at: 0, subnets: [{ cidr: parseCidr('10.20.0.0/22'), attachments: 4 }] });

  test('what nodes lost, and the cluster, are in its way no more than in an empty one', async () => {
    const world = await CliWorld.make();
    world.pods = world.pods.filter(({ name }) => name !== 'lost');
    await world.ipam.store.commit(
      [],
      [put(KUBERNETES_KEY, cluster('cluster-1')), put(lostKey('node-9'), lost)],
    );
    const before = content(world.ipam.store);
    await world.run('backup /b');
    empty(world.ipam.store);
    const now = encodeCluster({ uid: 'cluster-1', since: 99 });
    await world.ipam.store.commit([], [put(KUBERNETES_KEY, now), put(lostKey('node-1'), lost)]);
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 0, ran.stderr);
    const after = content(world.ipam.store);
    assert.equal(after.get(KUBERNETES_KEY), now);
    assert.deepEqual(
      [...after.keys()].filter((key) => key.startsWith('lost/')),
      [lostKey('node-1')],
    );
    assert.equal(after.size, before.size);
  });

  test('another cluster is told and stays', async () => {
    const world = await CliWorld.make();
    await world.ipam.store.commit([], [put(KUBERNETES_KEY, cluster('cluster-1'))]);
    await world.run('backup /b');
    empty(world.ipam.store);
    await world.ipam.store.commit([], [put(KUBERNETES_KEY, cluster('cluster-2'))]);
    world.env = {};
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 2);
    assert.match(ran.stdout, /not put back: cluster\/kubernetes: it is there with another value/);
    assert.equal(content(world.ipam.store).get(KUBERNETES_KEY), cluster('cluster-2'));
  });
});

suite('restore where something is', () => {
  test('is refused, and says what is there', async () => {
    const world = await backedUp();
    await world.give('node-1', 60, 'new');
    const before = content(world.ipam.store);
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /holds 1 key that the backup has not, or has otherwise: 1 in blocks\//);
    assert.deepEqual(content(world.ipam.store), before);
  });

  test('--merge adds what is missing and overwrites nothing', async () => {
    const world = await backedUp();
    const { store } = world.ipam;
    await world.give('node-1', 60, 'new');
    const before = content(store);
    const deleted = [...before.keys()].filter(
      (key) => key.includes('six') || key.startsWith('history/') || key.includes('fd00'),
    );
    for (const key of deleted) store.entries.delete(key);
    const ran = await world.run('restore /b --yes --merge -o json');
    const { collisions } = JSON.parse(ran.stdout) as { collisions: { key: string; reason: string }[] };
    assert.equal(ran.status, 2, ran.stderr);
    assert.deepEqual(
      collisions.map(({ key, reason }) => [key.split('/')[0], reason]),
      [['blocks', 'differs']],
    );
    assert.deepEqual(content(store), before);
    assert.deepEqual(world.ipam.problems(), []);
  });

  test('a block that another node claimed, an owner that has another address, a range that overlaps: each is told', async () => {
    const world = await backedUp();
    const { store, ipam } = world.ipam;
    const file = world.files.get('/b') ?? '';
    empty(store);
    await addRange(
      ipam,
      range('10.20.0.0/22', {
        name: 'blue',
        gateway: '10.20.0.1',
        vlan: 120,
        exclude: ['10.20.0.2-10.20.0.9'],
      }),
    );
    await addRange(ipam, range('10.30.0.0/24', { name: 'grey' }));
    // api-1 started again on its node without the backup, so it has another address now.
    const requested = [parseAddress('10.20.3.200')];
    await allocate(ipam, { node: 'node-2', owner: owner(container(4)), families: [4], requested });
    await setNodeDraining(ipam, 'node-9', true);
    const before = content(store);
    world.files.set('/b', file);
    world.pods = [];
    const ran = await world.run('restore /b --yes --merge -o json');
    const { collisions } = JSON.parse(ran.stdout) as { collisions: { key: string; reason: string }[] };
    assert.equal(ran.status, 2);
    const reasons = new Map(
      collisions.map(({ key, reason }) => [key.replace(/^(blocks\/\w+).*/, '$1'), reason]),
    );
    assert.equal(reasons.get('ranges/green'), 'overlaps');
    assert.equal(reasons.get('blocks/blue'), 'owner');
    for (const [key, value] of before) assert.equal(store.entries.get(key)?.value, value, key);
    assert.deepEqual(world.ipam.problems(), []);
  });

  test('what somebody writes while it goes on is kept', async () => {
    const world = await backedUp();
    const { store } = world.ipam;
    const key = [...content(store).keys()].find((each) => each.startsWith('blocks/blue')) ?? '';
    empty(store);
    store.before = (kind) => {
      if (kind !== 'commit') return Promise.resolve();
      store.before = () => Promise.resolve();
      store.revision++;
      store.entries.set(key, { key, value: 'another', revision: String(store.revision) });
      return Promise.resolve();
    };
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 2);
    assert.equal(store.entries.get(key)?.value, 'another');
    assert.match(ran.stdout, /not put back: blocks\/blue.*: somebody wrote it/);
  });

  test('a range that is added while it goes on stops the last step', async () => {
    const world = await backedUp();
    const { store } = world.ipam;
    empty(store);
    let commits = 0;
    store.before = async (kind) => {
      if (kind !== 'commit' || ++commits !== 2) return;
      store.before = () => Promise.resolve();
      await addRange(world.ipam.ipam, range('10.20.0.0/16', { name: 'wide' }));
    };
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 2);
    assert.match(ran.stdout, /not put back: ranges\/blue: a range was added/);
    assert.ok(!store.entries.has('ranges/blue'));
  });

  test('a range that is added after it looked, as while a person is asked, stops it before anything is written', async () => {
    for (const merge of ['', ' --merge']) {
      const world = await backedUp();
      const { store } = world.ipam;
      empty(store);
      if (merge !== '') await addRange(world.ipam.ipam, range('10.99.0.0/24', { name: 'other' }));
      world.kube = {
        listPods: async () => {
          await addRange(world.ipam.ipam, range('10.20.0.0/16', { name: 'wide' }));
          return { pods: [], resourceVersion: '1' };
        },
      };
      const ran = await world.run(`restore /b --yes${merge}`);
      assert.equal(ran.status, 2);
      assert.match(ran.stderr, /a range was added, .*nothing was restored/);
      assert.ok(!store.entries.has('ranges/blue'));
      assert.deepEqual(
        [...store.entries.keys()].filter((key) => key.startsWith('blocks/')),
        [],
      );
    }
  });

  test('an older backup in a cluster that went on gives no address twice', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ n: fc.integer({ min: 0, max: 90 }), give: fc.boolean() }), { maxLength: 30 }),
        fc.boolean(),
        async (changes, losesSome) => {
          const world = await backedUp();
          const { ipam, store } = world.ipam;
          world.env = {};
          for (const { n, give } of changes) {
            const node = n < 4 ? 'node-1' : n < 7 ? 'node-2' : `node-${n % 3}`;
            if (give) await allocate(ipam, { node, owner: owner(idOf(n)), families: [4] });
            else await release(ipam, { node, attachment: attachment(n), cause: { why: 'del' } });
            world.ipam.now += 10_000;
          }
          if (losesSome) {
            const lost = [...store.entries.keys()].filter((key) => /node-2|10\.20\.\d+\.64/.test(key));
            for (const key of lost) store.entries.delete(key);
          }
          const given = world.ipam.given();
          const before = content(store);
          await world.run('restore /b --yes --merge');
          const after = world.ipam.given();
          for (const [ip, who] of given) assert.equal(after.get(ip), who);
          for (const [key, value] of before) assert.equal(store.entries.get(key)?.value, value);
          if (!losesSome) assert.deepEqual(world.ipam.problems(), []);
        },
      ),
      { numRuns: 20 },
    );
  });
});

suite('refusals', () => {
  test('another prefix, another cluster, no file, no terminal, a target that cannot be written', async () => {
    const world = await backedUp();
    const { revision } = world.ipam.store;
    const fails = async (command: string, message: RegExp): Promise<void> => {
      const ran = await world.run(command);
      assert.equal(ran.status, 2, command);
      assert.match(ran.stderr, message);
    };
    await fails('restore /b --etcd-prefix /other', /is of etcd prefix '\/cellnet': expected '\/other'/);
    await fails('restore /none', /backup '\/none' does not exist/);
    world.kube = { clusterUid: () => Promise.resolve('cluster-2') };
    await fails('restore /b', /is of the cluster whose kube-system has UID cluster-1: expected cluster-2/);
    world.kube = {};
    world.unwritable.add('/x');
    await fails('backup /x', /'\/x' cannot be written/);
    assert.equal(world.ipam.store.revision, revision);
    empty(world.ipam.store);
    await fails('restore /b', /nobody can be asked/);
  });
});
