import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { makeDist } from '../../../support/dist.ts';
import {
  CONF,
  UNIT,
  MANIFEST,
  folder,
  root,
  world,
  anew,
  install,
  uninstall,
  mustInstall,
  read,
  put,
  everything,
  versions,
  NOTHING_TO_DO,
} from './host.ts';

suite('node install', () => {
  anew();

  test('programs, links, unit and network; done again, nothing', async () => {
    await mustInstall('--bridge', 'br-blue', '--network', 'blue', '--cni-version', '1.1.0');
    assert.equal(versions().length, 1);
    for (const [path, name] of [
      ['opt/cni/bin/cellnet', 'cellnet'],
      ['opt/cni/bin/cellnet-ipam', 'cellnet-ipam'],
      ['usr/local/bin/cnictl', 'cnictl'],
      ['usr/local/bin/cellnetd', 'cellnetd'],
    ] as const)
      assert.equal(
        realpathSync(join(root, path)),
        join(realpathSync(root), 'opt/cellnet/versions', versions()[0] ?? '', 'bin', name),
      );
    assert.deepEqual(JSON.parse(read(CONF)), {
      cniVersion: '1.1.0',
      name: 'blue',
      plugins: [{ type: 'cellnet', bridge: 'br-blue', ipam: { type: 'cellnet-ipam' } }],
    });
    assert.match(read(UNIT), /^ExecStart=\/opt\/cellnet\/current\/bin\/cellnetd$/m);
    assert.equal(statSync(join(root, 'opt/cni/bin/cellnet')).mode & 0o777, 0o755);
    const before = everything();
    assert.match(
      await mustInstall('--bridge', 'br-blue', '--network', 'blue', '--cni-version', '1.1.0'),
      NOTHING_TO_DO,
    );
    assert.deepEqual(everything(), before);
  });

  test('the network is written last', async () => {
    const lines = (await mustInstall()).trim().split('\n');
    assert.equal(lines.at(-1), `${join(root, CONF)} written`);
  });

  test('a dry run tells the same changes, and writes nothing', async () => {
    const dry = await mustInstall('--dry-run');
    assert.deepEqual(everything(), []);
    assert.equal(dry.replaceAll('would do: ', ''), await mustInstall());
  });

  test('JSON names the version and the changes', async () => {
    const told = JSON.parse(await mustInstall('-o', 'json')) as { version: string; changes: string[] };
    assert.equal(told.version, versions()[0]);
    assert.ok(told.changes.length > 5);
    assert.deepEqual((JSON.parse(await mustInstall('-o', 'json')) as typeof told).changes, []);
  });

  test('the unit is one that the agent of that dist understands', async () => {
    await mustInstall();
    assert.match(read(UNIT), /^Type=simple$/m);
    assert.doesNotMatch(read(UNIT), /Watchdog/);
    const file = join(world.dist, 'package.json');
    const identity = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...identity, cellnet: { notifies: true } }));
    await mustInstall();
    assert.match(read(UNIT), /^Type=notify\nWatchdogSec=30$/m);
    // Back again, by the newer cnictl.
    const before = versions().find((name) => !realpathSync(join(root, 'opt/cellnet/current')).endsWith(name));
    await mustInstall('--from', join(root, 'opt/cellnet/versions', before ?? ''));
    assert.match(read(UNIT), /^Type=simple$/m);
  });

  test('without systemd there is no unit', async () => {
    await mustInstall('--no-systemd');
    assert.equal(existsSync(join(root, 'etc/systemd')), false);
  });

  test('an upgrade keeps the version that it replaces, and removes the one before', async () => {
    await mustInstall();
    const [first] = versions();
    makeDist(world.dist, 'two');
    const second = await mustInstall();
    assert.equal(second.trim().split('\n').length, 3, second);
    assert.match(second, /copied from .*\nlink .*\/opt\/cellnet\/current -> versions\/1\.2\.3-/);
    assert.equal(versions().length, 2);
    assert.match(await mustInstall(), NOTHING_TO_DO);
    makeDist(world.dist, 'three');
    assert.match(await mustInstall(), new RegExp(`versions/${first ?? ''} removed\n$`));
    assert.equal(versions().length, 2);
    assert.ok(!versions().includes(first ?? ''));
    await uninstall('--yes');
    assert.deepEqual(everything(), []);
  });

  test('back to the version before, from its own folder', async () => {
    await mustInstall();
    const first = readlinkSync(join(root, 'opt/cellnet/current'));
    makeDist(world.dist, 'two');
    await mustInstall();
    assert.match(await mustInstall('--from', join(root, 'opt/cellnet', first)), /^cellnet .*\nlink .*\n$/);
    assert.equal(readlinkSync(join(root, 'opt/cellnet/current')), first);
  });

  test('a damaged version is copied anew, and what an interrupted copy left goes', async () => {
    await mustInstall();
    writeFileSync(join(root, 'opt/cellnet/current/lib/cellnet.js'), '');
    mkdirSync(join(root, 'opt/cellnet/versions/1.2.3-x.77.tmp'));
    assert.match(await mustInstall(), /^\S+ copied from .*\n\S+1\.2\.3-x\.77\.tmp removed\n$/);
    assert.equal(read('opt/cellnet/current/lib/cellnet.js'), '// one\n');
    assert.match(await mustInstall(), NOTHING_TO_DO);
  });

  test('links of an installation by hand are taken over', async () => {
    mkdirSync(join(root, 'opt/cni/bin'), { recursive: true });
    mkdirSync(join(root, 'opt/cellnet/bin'), { recursive: true });
    symlinkSync('/opt/cellnet/bin/cellnet', join(root, 'opt/cni/bin/cellnet'));
    await mustInstall();
    assert.equal(readlinkSync(join(root, 'opt/cni/bin/cellnet')), '../../cellnet/current/bin/cellnet');
  });

  test('a network of our own changes with the options; one that was edited is kept', async () => {
    await mustInstall();
    assert.equal(await mustInstall('--bridge', 'br-x'), `${join(root, CONF)} written\n`);
    const edited = read(CONF).replace('"br-x"', '"br-y"');
    put(CONF, edited);
    const { stdout, stderr } = await install();
    assert.match(stdout, NOTHING_TO_DO);
    assert.match(stderr, /10-cell\.conflist is kept: somebody wrote or edited it/);
    assert.equal(read(CONF), edited);
  });

  test('a second run without the first options repeats them', async () => {
    const first = ['--bridge', 'br-blue', '--network', 'blue', '--cni-version', '1.1.0', '--no-systemd'];
    const folders = ['--bin-dir', '/run/cni/bin', '--conf', '/run/cni/net.d/05-blue.conflist'];
    await mustInstall(...first, ...folders, '--program-dir', '/opt/bin');
    const before = everything();
    assert.match(await mustInstall(), NOTHING_TO_DO);
    assert.deepEqual(everything(), before);
    makeDist(world.dist, 'two');
    await mustInstall('--bridge', 'br-red');
    const list = JSON.parse(read('run/cni/net.d/05-blue.conflist')) as Record<string, unknown>;
    assert.deepEqual(list, {
      cniVersion: '1.1.0',
      name: 'blue',
      plugins: [{ type: 'cellnet', bridge: 'br-red', ipam: { type: 'cellnet-ipam' } }],
    });
    assert.equal(existsSync(join(root, CONF)), false);
    await mustInstall('--systemd');
    assert.ok(existsSync(join(root, UNIT)));
    assert.equal((await uninstall('--yes')).status, 0);
    assert.deepEqual(everything(), []);
  });

  test('an installation by a version that did not write its options down shows them', async () => {
    await mustInstall('--bridge', 'br-blue', '--network', 'blue', '--no-systemd', '--bin-dir', '/run/bin');
    const manifest = JSON.parse(read(MANIFEST)) as Record<string, unknown>;
    put(MANIFEST, JSON.stringify({ ...manifest, options: undefined }));
    const list = read(CONF);
    assert.match(await mustInstall(), NOTHING_TO_DO);
    assert.equal(read(CONF), list);
    assert.equal(existsSync(join(root, UNIT)), false);
    assert.equal(existsSync(join(root, 'opt/cni')), false);
  });

  test('a list from a file stays, also when that file is gone, and is not half replaced', async () => {
    const file = join(folder, 'list');
    const list = { cniVersion: '1.0.0', name: 'cell', plugins: [{ type: 'cellnet' }, { type: 'portmap' }] };
    writeFileSync(file, JSON.stringify(list));
    await mustInstall('--conf-from', file);
    rmSync(file);
    assert.match(await mustInstall(), NOTHING_TO_DO);
    assert.deepEqual(JSON.parse(read(CONF)), list);
    const refused = await install('--bridge', 'br-x');
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /--bridge: the network of this node is a list from .*list/);
    rmSync(join(root, CONF));
    assert.match((await install()).stderr, /--conf-from '.*list' does not exist\n.*name the list again/);
    await mustInstall('--network', 'cell', '--bridge', 'br-x');
    assert.match(read(CONF), /"bridge": "br-x"/);
  });

  test("a DaemonSet's files: the shared one gets the node's name, an edited list is replaced", async () => {
    const config = join(folder, 'config.json');
    writeFileSync(config, '{ "etcd": { "endpoints": ["http://10.0.0.1:2379"] } }');
    const list = join(folder, 'list');
    const lists = ['1.0.0', '1.1.0'].map((cniVersion) =>
      JSON.stringify({ cniVersion, name: 'cell', plugins: [{ type: 'cellnet' }] }),
    );
    writeFileSync(list, lists[0] ?? '');
    const argv = ['--config-from', config, '--node-name', 'ip-10-0-0-7', '--conf-from', list, '--no-systemd'];
    await mustInstall(...argv);
    const shared = join(root, 'etc/cellnet/config.json');
    assert.deepEqual(JSON.parse(readFileSync(shared, 'utf8')), {
      etcd: { endpoints: ['http://10.0.0.1:2379'] },
      node: 'ip-10-0-0-7',
    });
    assert.equal(statSync(shared).mode & 0o777, 0o600);
    assert.match(await mustInstall(...argv), NOTHING_TO_DO);
    put(CONF, '{"cniVersion":"1.0.0","name":"mine","plugins":[{"type":"cellnet"}]}');
    writeFileSync(list, lists[1] ?? '');
    assert.match((await install(...argv)).stderr, /10-cell\.conflist is kept/);
    const { stdout, stderr } = await install(...argv, '--replace-edited');
    assert.match(stdout, /10-cell\.conflist\.saved written\n.*10-cell\.conflist written\n$/);
    assert.match(stderr, /10-cell\.conflist was edited on this node: it is written again/);
    assert.equal(read(CONF), lists[1]);
    assert.match(read(`${CONF}.saved`), /"mine"/);
    assert.equal((await install(...argv, '--replace-edited')).stderr, '');
    assert.equal((await uninstall('--yes')).status, 0);
    assert.ok(existsSync(shared), 'the configuration stays');
  });

  test('cnictl and cellnetd are linked elsewhere, or not at all', async () => {
    await mustInstall('--no-program-dir');
    assert.equal(existsSync(join(root, 'usr')), false);
    assert.match(await mustInstall(), NOTHING_TO_DO);
    await mustInstall('--program-dir', '/opt/bin');
    assert.equal(
      realpathSync(join(root, 'opt/bin/cnictl')),
      realpathSync(join(root, 'opt/cellnet/current/bin/cnictl')),
    );
  });

  test('an older version than the present one is refused unless told', async () => {
    await mustInstall();
    const [newer = ''] = versions();
    makeDist(world.dist, 'old');
    writeFileSync(join(world.dist, 'package.json'), '{"name":"cellnet","version":"1.2.3-rc.2"}');
    const before = everything();
    for (const more of [[], ['--dry-run']]) {
      const { status, stderr } = await install(...more);
      assert.equal(status, 2);
      assert.match(
        stderr,
        new RegExp(`1\\.2\\.3-rc\\.2-[0-9a-f]{12} is older than ${newer}, which this node`),
      );
      assert.match(stderr, /--allow-downgrade/);
    }
    assert.deepEqual(everything(), before);

    const { status, stdout, stderr } = await install('--allow-downgrade');
    assert.equal(status, 0);
    assert.match(stderr, new RegExp(`is older than ${newer}, which it replaces`));
    assert.match(stdout, new RegExp(`^cellnet ${newer} -> 1\\.2\\.3-rc\\.2-[0-9a-f]{12} \\(older\\)\n`));
    // What is installed already needs no permission a second time.
    assert.match((await install()).stdout, /nothing to do/);
    const back = await install('--from', join(root, 'opt/cellnet/versions', newer));
    assert.match(back.stdout, /\(newer\)/);
    assert.doesNotMatch(back.stderr, /older/);
  });

  test('what a package delivers is installed, also by the copy of an earlier installation', async () => {
    world.dist = makeDist(join(root, 'usr/lib/cellnet'));
    await mustInstall();
    assert.equal(existsSync(join(root, 'usr/local/bin/cnictl')), false, 'a second cnictl in the PATH');
    assert.equal(
      realpathSync(join(root, 'opt/cni/bin/cellnet')),
      realpathSync(join(root, 'opt/cellnet/current/bin/cellnet')),
    );
    makeDist(join(root, 'usr/lib/cellnet'), 'upgraded');
    world.dist = join(root, 'opt/cellnet/versions', versions()[0] ?? '');
    await mustInstall();
    assert.match(read('opt/cellnet/current/lib/cellnet.js'), /upgraded/);
    assert.match(await mustInstall(), NOTHING_TO_DO);
    // Without the package it is the dist/ of this cnictl.
    rmSync(join(root, 'usr/lib/cellnet'), { recursive: true });
    assert.match(await mustInstall(), /^cellnet .* \(another build\)\n/);
  });

  test('JSON tells what the version replaces', async () => {
    type Told = { version: string; replaces: string | null };
    const first = JSON.parse(await mustInstall('-o', 'json')) as Told;
    assert.equal(first.replaces, null);
    makeDist(world.dist, 'two');
    assert.equal((JSON.parse(await mustInstall('-o', 'json', '--dry-run')) as Told).replaces, first.version);
    assert.match(await mustInstall(), new RegExp(`^cellnet ${first.version} -> .* \\(another build\\)\n`));
    assert.equal((JSON.parse(await mustInstall('-o', 'json')) as Told).replaces, null);
  });

  test("the runtime's own folders are found", async () => {
    put(
      'var/lib/rancher/k3s/agent/etc/containerd/config.toml',
      '[plugins."io.containerd.grpc.v1.cri".cni]\n  bin_dir = "/k3s/bin/"\n  conf_dir = "/k3s/net.d"\n',
    );
    await mustInstall();
    assert.ok(existsSync(join(root, 'k3s/bin/cellnet')));
    assert.ok(existsSync(join(root, 'k3s/net.d/10-cell.conflist')));
    assert.equal(existsSync(join(root, 'opt/cni')), false);
  });

  test('a network from a file, as a DaemonSet has it', async () => {
    const file = join(folder, 'list');
    const list = { cniVersion: '1.0.0', name: 'cell', plugins: [{ type: 'cellnet' }, { type: 'portmap' }] };
    writeFileSync(file, JSON.stringify(list));
    await mustInstall('--conf-from', file);
    assert.deepEqual(JSON.parse(read(CONF)), list);
  });

  test('another network that comes first is told', async () => {
    put('etc/cni/net.d/05-other.conf', '{}');
    assert.match((await install()).stderr, /05-other\.conf comes before .*10-cell\.conflist/);
  });

  test('a folder that is a link within the root is followed', async () => {
    mkdirSync(join(root, 'var/deep/opt'), { recursive: true });
    symlinkSync('var/deep/opt', join(root, 'opt'));
    await mustInstall();
    assert.equal(statSync(join(root, 'opt/cni/bin/cellnet')).mode & 0o111, 0o111);
    assert.match(await mustInstall(), NOTHING_TO_DO);
  });
});

suite('node install refuses before it writes', () => {
  anew();

  const refused: [what: string, argv: string[], message: RegExp, prepare?: () => void][] = [
    [
      'a foreign program',
      [],
      /opt\/cni\/bin\/cellnet' is not from this installation/,
      () => put('opt/cni/bin/cellnet', ''),
    ],
    [
      'a foreign link',
      [],
      /usr\/local\/bin\/cnictl' is not from this installation/,
      () => {
        mkdirSync(join(root, 'usr/local/bin'), { recursive: true });
        symlinkSync('/usr/bin/true', join(root, 'usr/local/bin/cnictl'));
      },
    ],
    ['a foreign network', [], /10-cell\.conflist' is not from this/, () => put(CONF, '{"plugins":[]}')],
    ['a foreign unit', [], /cellnetd\.service' is not from this installation/, () => put(UNIT, '[Unit]\n')],
    ['a foreign current', [], /current' is not from this installation/, () => put('opt/cellnet/current', '')],
    ['a broken list', [], /install\.json, the list of .* is not JSON/, () => put(MANIFEST, '{')],
    ['a list of tomorrow', [], /install\.json.*'v'/, () => put(MANIFEST, '{"v":2}')],
    [
      'a way out of the root',
      [],
      /leads to '.*dist', out of --root/,
      () => symlinkSync(world.dist, join(root, 'opt')),
    ],
    ['no dist', ['--from', '/none'], /'\/none' is no dist\/ of cellnet: it lacks bin\/cellnet, /],
    ['a relative folder', ['--lib-dir', 'opt'], /--lib-dir 'opt': expected an absolute path/],
    ['a network that no runtime reads', ['--conf', '/etc/x'], /expected a name that ends with \.conflist/],
    ['a bridge that is none', ['--bridge', 'br/0'], /key 'bridge' is "br\/0"/],
    ['a network name that is none', ['--network', 'a b'], /key 'name' is "a b"/],
    ['a version of CNI', ['--cni-version', '9.9.9'], /Allowed choices are 0\.3\.0/],
    [
      'a list beside the options of one',
      ['--conf-from', '/dev/null', '--bridge', 'br-x'],
      /--bridge beside --conf-from/,
    ],
    [
      'runtimes that disagree',
      [],
      /look in different folders .*k3s by .*: \/k3s\/bin and .*containerd by .*: \/opt\/cni\/bin and/,
      () => {
        put('var/lib/rancher/k3s/agent/etc/containerd/config.toml', 'bin_dir = "/k3s/bin"\n');
        put('etc/containerd/config.toml', 'version = 2\n');
      },
    ],
    [
      'a shared file that does not exist',
      ['--config-from', '/none'],
      /--config-from '\/none' does not exist/,
    ],
    ['a name without its file', ['--node-name', 'a'], /--node-name 'a': expected --config-from beside it/],
    ['a list that does not exist', ['--conf-from', '/none'], /--conf-from '\/none' does not exist/],
    ['a list that is none', ['--conf-from', '/dev/null'], /is no network configuration list of cellnet/],
  ];
  for (const [what, argv, message, prepare] of refused) {
    test(what, async () => {
      prepare?.();
      const before = everything();
      const ran = await install(...argv);
      assert.equal(ran.status, 2, ran.stdout);
      assert.match(ran.stderr, message);
      assert.deepEqual(everything(), before);
    });
  }

  test('a root that does not exist', async () => {
    const ran = await install('--root', join(folder, 'none'));
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /--root '.*none' does not exist/);
  });
});
