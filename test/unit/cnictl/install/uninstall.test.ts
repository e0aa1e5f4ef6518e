import assert from 'node:assert/strict';
import { existsSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { EmptyOvsdb } from '../../../golden/world.ts';
import { CONF, UNIT, root, anew, uninstall, mustInstall, read, put, everything, world } from './host.ts';

class BridgesOvsdb extends EmptyOvsdb {
  override transact(): ReturnType<EmptyOvsdb['transact']> {
    return Promise.resolve([{ rows: [{ name: 'br-cell' }, { name: 'br-other' }] }]);
  }
}

suite('node uninstall', () => {
  anew();

  test('takes away what install made, and nothing else', async () => {
    put('opt/cni/bin/bridge', '');
    put('etc/cni/net.d/99-loopback.conf', '');
    put('var/lib/cellnet/locks/00', '');
    const before = everything();
    await mustInstall();
    const { status, stderr } = await uninstall('--yes');
    assert.equal(status, 0, stderr);
    assert.deepEqual(everything(), before);
    assert.match((await uninstall('--yes')).stdout, /nothing is known to be installed: nothing to do\n$/);
  });

  test('the network goes first, the list of what was made after the programs', async () => {
    await mustInstall();
    const paths = (await uninstall('--dry-run')).stdout.split('\n');
    assert.match(paths[0] ?? '', /^would do: .*10-cell\.conflist removed$/);
    const list = paths.findIndex((line) => line.includes('install.json'));
    assert.ok(list > paths.findIndex((line) => line.includes('/versions/')));
    assert.ok(everything().length > 10, 'a dry run removes nothing');
  });

  test('says of a folder that it was removed only when it was', async () => {
    put('opt/cni/bin/bridge', '');
    await mustInstall();
    rmSync(join(root, 'opt/cni/bin/bridge'));
    put('etc/cni/net.d/99-mine.conflist', '');
    const { stdout } = await uninstall('--yes');
    assert.doesNotMatch(stdout, /if it is empty/);
    assert.match(stdout, /^folder .*\/usr\/local\/bin removed$/m);
    assert.doesNotMatch(stdout, /^folder .*\/etc\/cni\/net\.d/m);
    assert.ok(existsSync(join(root, 'etc/cni/net.d/99-mine.conflist')));
  });

  test('what cellnet programmed on bridges goes, by the Open vSwitch whose socket is in the root', async () => {
    await mustInstall();
    put('var/run/openvswitch/db.sock', '');
    const done: string[] = [];
    let flows = 3;
    world.ovsdb = new BridgesOvsdb();
    world.openBridge = (bridge) =>
      Promise.resolve({
        bundle: (changes) => {
          done.push(`${bridge}: ${[...changes].map(({ kind }) => kind).join(' ')}`);
          flows = 0;
          return Promise.resolve();
        },
        send: () => Promise.resolve(),
        countFlows: () => Promise.resolve(bridge === 'br-cell' ? flows : 0),
        listMatches: () => Promise.resolve([]),
        listGroups: () => Promise.resolve([{ id: 0xce00_0001 }, { id: 7 }]),
        listMeters: () => Promise.resolve([]),
        close: () => undefined,
      });
    const asked = await uninstall('--dry-run');
    assert.match(asked.stdout, /^would do: flows of cellnet removed from bridge br-cell$/m);
    assert.deepEqual(done, []);
    const { status, stdout, stderr } = await uninstall('--yes');
    assert.equal(status, 0, stderr);
    assert.deepEqual(done, ['br-cell: delete-flows delete-group']);
    assert.doesNotMatch(stdout, /br-other/);
    // The agent of this world runs on: no systemd ended it.
    assert.match(stderr, /the agent at .* still runs, and programs br-cell again: end it first/);
  });

  /** The node's nft, as a pod of the DaemonSet asks it. */
  function withNft(status: number | null, output: string): string[] {
    const asked: string[] = [];
    world.env['KUBERNETES_SERVICE_HOST'] = '10.96.0.1';
    world.exec = (argv) => {
      asked.push(argv.join(' '));
      return Promise.resolve({ status, output });
    };
    return asked;
  }

  test('the table of nftables goes, where there is one', async () => {
    await mustInstall();
    const asked = withNft(0, 'table inet theirs\ntable inet cellnet\n');
    assert.match((await uninstall('--dry-run')).stdout, /^would do: nft delete table inet cellnet$/m);
    const { status, stderr } = await uninstall('--yes');
    assert.equal(status, 0, stderr);
    assert.deepEqual(asked, [
      ...Array<string>(2).fill('nft list tables inet'),
      'nft delete table inet cellnet',
    ]);
    assert.match(stderr, /still runs, and programs the table inet cellnet again: end it first/);
  });

  for (const [what, status, output, told] of [
    ['no table of cellnet', 0, 'table inet cellnet-other\n', /^$/],
    ['no nft on this node', null, 'spawn nft ENOENT', /^$/],
    [
      'an nft that is refused',
      1,
      'Operation not permitted\n',
      /the table inet cellnet of nftables may be left: Operation not permitted$/m,
    ],
  ] as const) {
    test(`${what}: nothing is done to it`, async () => {
      await mustInstall();
      const asked = withNft(status, output);
      const ran = await uninstall('--yes');
      assert.equal(ran.status, 0, ran.stderr);
      assert.match(ran.stderr, told);
      assert.deepEqual(asked, ['nft list tables inet']);
    });
  }

  test('the table of this machine is not that of another root', async () => {
    await mustInstall();
    world.exec = () => assert.fail('asked');
    assert.equal((await uninstall('--yes')).status, 0);
  });

  test('an Open vSwitch that does not answer hinders nothing, and is told', async () => {
    await mustInstall();
    put('var/run/openvswitch/db.sock', '');
    world.ovsdb = new BridgesOvsdb();
    const { status, stderr } = await uninstall('--yes');
    assert.equal(status, 0, stderr);
    assert.match(stderr, /flows may be left on the bridges: no test of this world asks a bridge/);
  });

  test('is asked about', async () => {
    await mustInstall();
    const ran = await uninstall();
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /cellnet goes from this node.*nobody can be asked/);
  });

  for (const [what, record, message] of [
    ['pods have addresses', 'attachments/abc,eth0.json', /1 interface of pods on this node still has its/],
    ['teardowns are unfinished', 'pending/abc,eth0.json', /1 teardown is still to be finished/],
  ] as const) {
    test(`refused while ${what}, unless forced`, async () => {
      await mustInstall();
      put(`var/lib/cellnet/${record}`, '{}');
      const before = everything();
      const ran = await uninstall('--yes');
      assert.equal(ran.status, 2);
      assert.match(ran.stderr, message);
      assert.deepEqual(everything(), before);
      assert.equal((await uninstall('--yes', '--force')).status, 0);
      assert.deepEqual(
        everything().filter((path) => !path.startsWith('var')),
        [],
      );
      assert.equal(read(`var/lib/cellnet/${record}`), '{}');
    });
  }

  test('what was edited is moved aside, what was replaced stays', async () => {
    await mustInstall();
    put(UNIT, `${read(UNIT)}# mine\n`);
    rmSync(join(root, 'usr/local/bin/cnictl'));
    symlinkSync('/usr/bin/true', join(root, 'usr/local/bin/cnictl'));
    assert.equal((await uninstall('--yes')).status, 0);
    assert.match(read(`${UNIT}.saved`), /# mine\n$/);
    assert.equal(readlinkSync(join(root, 'usr/local/bin/cnictl')), '/usr/bin/true');
  });

  test('an installation that was interrupted is taken away too', async () => {
    await mustInstall();
    rmSync(join(root, CONF));
    rmSync(join(root, 'opt/cellnet/current'));
    assert.equal((await uninstall('--yes')).status, 0);
    assert.deepEqual(everything(), []);
  });
});
