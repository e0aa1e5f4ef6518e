/**
 * Empties etcd under running pods, and asks cnictl what to do: on real etcd, with an API server of
 * the test.
 */
import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { parseCidr } from '../../../ipam/model/address.ts';
import { encodeLost, lostKey } from '../../../ipam/records/lost-record.ts';
import { del, put } from '../../../ipam/records/transaction.ts';
import { scanAll } from '../../../ipam/store/store.ts';
import { node } from '../../support/kube-api.ts';
import { uid, useRaces, type Race } from './race.ts';

const PODS = 10;

suite('an etcd that forgot', () => {
  const races = useRaces();

  /** Starts a cluster with ten running pods, takes a backup, and empties etcd. */
  const start = async (t: TestContext): Promise<Race> => {
    const race = await races.start(t);
    for (let n = 1; n <= PODS; n++) {
      const name = `web-${n}`;
      race.live(name, n, 'node-1', await race.give('node-1', name, n));
    }
    // Another network gave this address out of the node's own subnet.
    race.api.putNode(node({ name: 'node-2', podCIDRs: ['10.244.2.0/24'] }));
    race.api.putPod({
      namespace: 'other',
      name: 'flannel-1',
      uid: uid(500),
      node: 'node-2',
      ip: '10.244.2.9',
    });
    assert.equal((await race.world.run('check --grace 0')).status, 0);
    assert.equal((await race.world.run('backup /backup')).status, 0);
    const keys = await scanAll(race.store, '', { keysOnly: true });
    await race.store.commit(
      [],
      keys.map(({ key }) => del(key)),
    );
    return race;
  };

  test('check finds every pod missing, range add is refused, restore is the way back', async (t) => {
    const race = await start(t);
    const ran = await race.world.run('check --grace 0 -o json');
    assert.equal(ran.status, 1);
    const { counts, missing } = JSON.parse(ran.stdout) as {
      counts: Record<string, number>;
      missing: { reason: string }[];
    };
    assert.deepEqual([counts['missing'], counts['noRange']], [PODS, PODS]);
    assert.ok(missing.every(({ reason }) => reason === 'no-range'));
    const added = await race.world.run('range add 10.20.0.0/22 --name blue');
    assert.equal(added.status, 2);
    assert.match(added.stderr, /10 running pods have addresses of it/);
    assert.deepEqual(await scanAll(race.store, ''), [], 'neither a range nor which cluster it is');
    await race.store.commit(
      [],
      [
        put(
          lostKey('node-1'),
          encodeLost({ at: 0, subnets: [{ cidr: parseCidr('10.20.0.0/22'), attachments: PODS }] }),
        ),
      ],
    );
    const restored = await race.world.run('restore /backup --yes');
    assert.equal(restored.status, 0, restored.stderr);
    assert.equal((await race.world.run('check --grace 0')).status, 0);
    assert.equal(Object.keys(await race.given()).length, PODS + 1);
  });

  test('what nodes lost refuses a range without an API server, and --recover adds it', async (t) => {
    const race = await start(t);
    race.world.env = {};
    const subnets = [{ cidr: parseCidr('10.20.0.0/22'), attachments: PODS }];
    await race.store.commit([], [put(lostKey('node-1'), encodeLost({ at: 0, subnets }))]);
    const refused = await race.world.run('range add 10.20.0.0/22');
    assert.equal(refused.status, 2);
    assert.match(
      refused.stderr,
      /10 attachments on node-1 have addresses of 10\.20\.0\.0\/22, which etcd forgot/,
    );
    assert.equal((await race.world.run('range add 10.60.0.0/24')).status, 0);
    assert.equal((await race.world.run('range add 10.20.0.0/22 --recover')).status, 0);
  });
});
