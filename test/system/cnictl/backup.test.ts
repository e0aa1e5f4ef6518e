import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { parseBackup } from '../../../cnictl/backup/format.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { SET_BACK } from '../../../ipam/records/set-back-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { scanAll } from '../../../ipam/store/store.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { run, type RunResult } from '../../support/proc.ts';
import { owner, range } from '../../unit/ipam/world.ts';

const NODES = 700;

suite('backup and restore on real etcd', () => {
  let scope: Scope;
  let etcd: Etcd;
  let ipam: Ipam;
  let dir: string;

  before(async () => {
    scope = newScope();
    dir = await scope.tempDir();
    etcd = scope.use(await startEtcd());
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => store.close());
    ipam = directIpam(store, hostEffects);
    await addRange(ipam, range('10.20.0.0/18', { name: 'blue' }));
    await addRange(ipam, range('fd00:20::/64', { name: 'six' }));
    await ipam.store.commit([], [put('history/10.20.0.1', 'kept as it is')]);
    // The keys exceed one page of a scan and need many transactions.
    for (let n = 0; n < NODES; n++)
      await allocate(ipam, { node: `node-${n}`, owner: owner(`c-${n}`), families: [4] });
  });
  after(() => scope.close());

  const cnictl = (...args: string[]): Promise<RunResult> =>
    run(join(OUR_PLUGINS, 'cnictl'), args, {
      env: { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','), KUBECONFIG: undefined, HOME: dir },
      timeoutMs: 60_000,
    });
  /** Every key except the set-back that a restore tells. */
  const content = async (): Promise<Map<string, string>> => {
    const entries = (await scanAll(ipam.store, '')).filter(({ key }) => key !== SET_BACK);
    return new Map(entries.map(({ key, value }) => [key, value]));
  };
  const file = (name: string): string => join(dir, name);

  test('a backup is of one moment, though addresses are given out while it is taken', async () => {
    let stopped = false;
    const writer = (async () => {
      for (let n = 0; !stopped; n++)
        await allocate(ipam, { node: `node-${n % NODES}`, owner: owner(`w-${n}`), families: [4] });
    })();
    const ran = await cnictl('backup', file('busy'), '-o', 'json');
    stopped = true;
    await writer;
    assert.equal(ran.code, 0, ran.stderr);
    const { header, records } = parseBackup(readFileSync(file('busy'), 'utf8'), 'busy');
    for (const { key, value } of records.slice(0, 20)) {
      const then = await etcd.ctl(
        'get',
        `/cellnet/v1/${key}`,
        '--rev',
        header.revision,
        '--print-value-only',
      );
      assert.equal(then.replace(/\n$/, ''), value);
    }
    const then = await etcd.ctl(
      'get',
      '--prefix',
      '/cellnet/v1/',
      '--rev',
      header.revision,
      '--keys-only',
      '-w',
      'json',
    );
    assert.equal((JSON.parse(then) as { count: number }).count, records.length);
    assert.equal(statSync(file('busy')).mode & 0o777, 0o600);
  });

  test('all is restored into an empty etcd, in transactions that it takes, and again changes nothing', async () => {
    const ran = await cnictl('backup', file('whole'));
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /keys of revision \d+ written to .*blocks\/.*history\//);
    const before = await content();
    await etcd.ctl('del', '--prefix', '/cellnet/');
    const restored = await cnictl('restore', file('whole'), '--yes');
    assert.equal(restored.code, 0, restored.stderr);
    assert.deepEqual(await content(), before);
    const again = await cnictl('restore', file('whole'), '--yes', '-o', 'json');
    assert.equal((JSON.parse(again.stdout) as { written: number }).written, 0);
    await allocate(ipam, { node: 'node-1', owner: owner('afterwards'), families: [4] });
    const refused = await cnictl('restore', file('whole'), '--yes');
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /holds 1 key that the backup has not, or has otherwise: 1 in blocks\//);
  });

  test('etcd dies halfway: what is there is no danger, and the same call goes on', async () => {
    await cnictl('backup', file('half'));
    const before = await content();
    await etcd.ctl('del', '--prefix', '/cellnet/');
    // An interrupted restore leaves blocks and no range yet.
    const { records } = parseBackup(readFileSync(file('half'), 'utf8'), 'half');
    for (const record of records.slice(0, 300)) await ipam.store.commit([], [put(record.key, record.value)]);
    await assert.rejects(
      allocate(ipam, { node: 'node-1', owner: owner('early'), families: [4] }),
      /etcd holds no range/,
    );
    etcd.pause();
    const cut = await cnictl('restore', file('half'), '--yes');
    etcd.resume();
    assert.equal(cut.code, 2);
    const ran = await cnictl('restore', file('half'), '--yes', '-o', 'json');
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal((JSON.parse(ran.stdout) as { already: number }).already, 300);
    assert.deepEqual(await content(), before);
  });

  test('a file that was cut off or changed is refused before anything is looked at', async () => {
    await cnictl('backup', file('good'));
    const text = readFileSync(file('good'), 'utf8');
    writeFileSync(file('cut'), text.slice(0, text.length / 2));
    writeFileSync(
      file('changed'),
      text.replace('"node-5"', '"node-6"').replace('\\"node-5\\"', '\\"node-6\\"'),
    );
    for (const name of ['cut', 'changed']) {
      const ran = await cnictl('restore', file(name), '--yes');
      assert.equal(ran.code, 2);
      assert.match(ran.stderr, /cannot be restored: /);
    }
  });
});
