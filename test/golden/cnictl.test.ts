import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hostLinkName, linkAlias } from '../../cni/protocol/identity.ts';
import { release } from '../../ipam/release/release.ts';
import { makeDist } from '../support/dist.ts';
import { FakePlatform } from '../unit/cni/fake-platform.ts';
import { hold } from './hold.ts';
import { LIST, reply } from './services-world.ts';
import { CliWorld, container } from './world.ts';

const COMMANDS = [
  'range list',
  'range show blue',
  'range show six',
  'block list',
  'block list --node node-1',
  'block list --range six',
  'ip list',
  'ip list --node node-2',
  'ip show 10.20.0.1',
  'ip history 10.20.0.66',
  'pod show shop/api-1',
  'node list',
  'node show node-2',
  'node show node-9',
  'status',
  'check --grace 5s',
] as const;
const FORMATS = ['table', 'json', 'yaml'] as const;

const shown = ({ status, stdout, stderr }: { status: number; stdout: string; stderr: string }): string =>
  `${stdout}${stderr === '' ? '' : `--- stderr\n${stderr}`}--- status ${status}\n`;

for (const command of COMMANDS) {
  for (const format of FORMATS) {
    test(`${command} as ${format}`, async () => {
      const world = await CliWorld.make();
      hold(`${command}.${format}`, shown(await world.run(`${command} -o ${format}`)));
    });
  }
}

const USED = async (world: CliWorld): Promise<string> => {
  const rows = JSON.parse((await world.run('ip list -o json')).stdout) as { ip: string; state: string }[];
  return rows.find((row) => row.state === 'used')?.ip ?? '';
};

test('ip show of a used address', async () => {
  const world = await CliWorld.make();
  hold('ip show used', shown(await world.run(`ip show ${await USED(world)}`)));
});

test('changes', async () => {
  const world = await CliWorld.make();
  const ip = await USED(world);
  const lines: string[] = [];
  for (const argv of [
    [
      'range',
      'add',
      '10.40.0.0/24',
      '--gateway',
      '10.40.0.1',
      '--vlan',
      '140',
      '--route',
      '10.96.0.0/12 via 10.40.0.2',
      '--dry-run',
    ],
    ['range', 'add', '10.40.0.0/24', '--gateway', '10.40.0.1', '--vlan', '140', '--name', 'red'],
    ['range', 'add', '10.41.0.0/24', '--dry-run'],
    ['range', 'add', '10.42.0.0/30', '--dry-run', '--gateway', '10.42.0.1', '--block-size', '4'],
    ['range', 'add', '10.41.0.0/24', '--dry-run', '--route', '10.96.0.0/12 via 10.41.0.2'],
    ['range', 'add', '10.41.0.0/24', '--dry-run', '--route', '0.0.0.0/0 via 10.41.0.2'],
    ['node', 'init', '--uplink', 'bond1', '--dry-run'],
    ['range', 'drain', 'red'],
    ['range', 'undrain', 'red'],
    ['range', 'remove', 'red', '--dry-run'],
    ['range', 'remove', 'red', '--yes'],
    ['range', 'remove', 'blue', '--yes'],
    ['release', ip, '--dry-run', '--force'],
    ['release', ip, '--yes'],
    ['release', ip, '--yes', '--force'],
    ['release', ip, '--yes'],
    ['release', '10.20.0.1', '--yes'],
    ['check', '--grace', '0', '--release', '--yes'],
    ['range', 'list'],
  ]) {
    lines.push(`$ cnictl ${argv.join(' ')}\n`, shown(await world.run(argv)), '\n');
  }
  hold('changes', lines.join(''));
});

test('who had an address', async () => {
  const world = await CliWorld.make();
  world.env['USER'] = 'alice';
  const ip = await USED(world);
  const lines: string[] = [];
  const show = async (command: string): Promise<void> => {
    lines.push(`$ cnictl ${command}\n`, shown(await world.run(command)), '\n');
  };
  await show(`ip history ${ip}`);
  await show('check --grace 0 --release --yes');
  await show('ip history 10.20.0.17');
  await show('pod show shop/web-2');
  await show(`release ${ip} --yes --force`);
  world.ipam.now += 90_000;
  await show(`ip history ${ip}`);
  // Simulates a pod that fails repeatedly: it uses every address of the block in turn.
  for (let n = 0; n < 60; n++) {
    await world.give('node-1', n % 10, 'crash');
    world.ipam.now += 40_000;
    await release(world.ipam.ipam, {
      node: 'node-1',
      attachment: { containerId: container(n % 10), ifname: 'eth0' },
      cause: { why: 'undo' },
    });
  }
  await show(`ip history ${ip}`);
  await show(`ip history ${ip} --since 10m`);
  await show(`ip history ${ip} --since 10s`);
  await show('ip history 10.20.0.1');
  await show('ip history 10.20.3.200');
  world.env = {};
  await show('pod show shop/api-1');
  hold('who had an address', lines.join(''));
});

test('draining, returning, removing', async () => {
  const world = await CliWorld.make();
  const lines: string[] = [];
  const step = async (command: string): Promise<void> => {
    lines.push(`$ cnictl ${command}\n`, shown(await world.run(command)), '\n');
  };
  await step('range drain blue --dry-run');
  await step('node drain node-1 --dry-run');
  await step('node drain node-1');
  await step('node drain node-1 -o json');
  // `node drain` keeps a mark among the node's index keys. `check` must not report it.
  await step('check --grace 0');
  await step('node show node-1');
  await step('node undrain node-1');
  await step('node undrain node-1');
  await step('block return');
  await step('block return --all --idle 0 --dry-run');
  await step('node remove node-2 --yes');
  await step('node remove node-9 --yes');
  world.nodes = world.nodes.filter(({ name }) => name !== 'node-2');
  await step('node remove node-2 --dry-run');
  world.pods = world.pods.filter(({ name }) => name !== 'api-1');
  await step('node remove node-2 --dry-run -o json');
  await step('node remove node-2');
  world.meanwhile = () => {
    world.ipam.now += 60_000;
    return Promise.resolve();
  };
  await step('node remove node-2 --yes');
  await step('node list');
  hold('lifecycle', lines.join(''));
});

test('setting a range', async () => {
  const world = await CliWorld.make();
  const lines: string[] = [];
  const step = async (...argv: string[]): Promise<void> => {
    lines.push(`$ cnictl range ${argv.join(' ')}\n`, shown(await world.run(['range', ...argv])), '\n');
  };
  await step('set', 'blue');
  await step('set', 'blue', '--named-only', '--cooldown', '1m', '--dry-run');
  await step('set', 'blue', '--exclude', '10.20.0.24-10.20.0.31', '--include', '10.20.0.8/31', '--dry-run');
  await step('set', 'blue', '--exclude', '10.20.0.24-10.20.0.31', '--include', '10.20.0.8/31');
  await step('set', 'blue', '--exclude', '10.20.0.24-10.20.0.31', '--include', '10.20.0.0/29', '-o', 'json');
  await step('set', 'blue', '--exclude', '10.20.0.16/28');
  await step('set', 'blue', '--exclude', '10.20.0.128-10.20.0.120');
  await step('set', 'blue', '--include', '10.21.0.1');
  await step('set', 'blue', '--exclude', '10.20.0.66');
  await step('set', 'blue', '--include', '10.20.0.1');
  await step('set', 'blue', '--gateway', '10.20.0.65');
  await step('set', 'blue', '--gateway', '10.21.0.1');
  await step(
    'set',
    'blue',
    '--gateway',
    '10.20.0.254',
    '--route',
    '10.96.0.0/12 via 10.20.0.253',
    '--dry-run',
  );
  await step('set', 'blue', '--gateway', '10.20.0.254', '--route', '10.96.0.0/12 via 10.20.0.253');
  world.ipam.now += 3600_000;
  await world.give('node-2', 7, 'api-3', ['10.20.0.67']);
  await step('show', 'blue');
  lines.push('$ cnictl pod show shop/api-1\n', shown(await world.run('pod show shop/api-1')), '\n');
  await step('set', 'blue', '--include', '10.20.0.1');
  world.ipam.now += 60_000;
  await step('set', 'blue', '--remove-route', '10.96.0.0/12', '--route', '10.97.0.0/16', '-o', 'json');
  world.ipam.now += 60_000;
  await step('set', 'blue', '--no-gateway');
  await step('set', 'blue', '--no-gateway', '--remove-route', '10.97.0.0/16');
  await step('set', 'green', '--exclude', '10.30.0.0/28');
  await step('set', 'six', '--exclude', 'fd00:20::1000-fd00:20::ffff');
  hold('range-set', lines.join(''));
});

test('backup and restore', async () => {
  const world = await CliWorld.make();
  const lines: string[] = [];
  const step = async (command: string): Promise<void> => {
    lines.push(`$ cnictl ${command}\n`, shown(await world.run(command)), '\n');
  };
  await step('backup /b');
  await step('restore /b');
  await step('restore /b --dry-run --force');
  await world.give('node-1', 60, 'new');
  await step('restore /b --force');
  await step('restore /b --force --merge --dry-run');
  world.ipam.store.entries.delete('ranges/green');
  await step('restore /b --force --merge --yes -o json');
  world.ipam.store.entries.clear();
  await step('restore /b --yes');
  world.env = {};
  await step('restore /b');
  await step('restore /b --yes');
  await step('restore /none');
  await step('restore /b --etcd-prefix /other');
  hold('backup', lines.join(''));
});

test('doctor', async () => {
  const world = await CliWorld.make();
  world.env['CELLNET_STATE_DIR'] = '/none';
  world.platform = () => new FakePlatform('/none').platform();
  world.programs = { '/usr/bin/node': 'v18.19.0' };
  const lines: string[] = [];
  const step = async (command: string): Promise<void> => {
    lines.push(`$ cnictl ${command}\n`, shown(await world.run(command)), '\n');
  };
  await step('doctor --cluster');
  world.etcd = {
    alarms: () => Promise.resolve(['NOSPACE of member 8e9e05c52164694d']),
    mayWrite: (group) => Promise.resolve(group !== 'blocks'),
    members: () => Promise.resolve(1),
    clock: () =>
      Promise.resolve({
        serverTime: world.ipam.now - 60_000,
        asked: world.ipam.now,
        answered: world.ipam.now,
      }),
  };
  world.agent = { answers: false, health: undefined };
  world.nodes = [];
  await world.run('node drain node-1');
  world.agentReplies = { '/services': reply(LIST) };
  await step('doctor --conf-dir /none');
  await step('doctor --conf-dir /none -o json');
  hold('doctor', lines.join(''));
});

test('installing, upgrading, uninstalling', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellnet-golden-'));
  try {
    const world = new CliWorld();
    const root = join(folder, 'root');
    mkdirSync(root);
    const lines: string[] = [];
    for (const [mark, command] of [
      ['one', 'install --dry-run'],
      ['one', 'install -o json'],
      ['one', 'install'],
      ['two', 'install'],
      ['two', 'install --no-systemd --bridge br/0'],
      ['two', 'uninstall'],
      ['two', 'uninstall --yes'],
      ['two', 'uninstall --yes -o yaml'],
    ] as const) {
      world.dist = makeDist(join(folder, 'dist'), mark);
      const ran = await world.run(`node ${command} --root ${root}`);
      lines.push(`$ cnictl node ${command} --root ROOT\n`, shown(ran).replaceAll(root, 'ROOT'), '\n');
    }
    hold('install', lines.join('').replaceAll(folder, 'FOLDER'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('reconciling a node', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellnet-golden-'));
  try {
    const world = await CliWorld.make();
    world.env['CELLNET_STATE_DIR'] = folder;
    const fake = new FakePlatform(folder);
    const parts = fake.platform();
    // The first container's pod is gone, the second's lives without its link, and nothing is known
    // of the others.
    world.platform = () => ({
      ...parts,
      namespaces: { ...parts.namespaces, stateOf: (path) => (path === '/run/netns/0' ? 'gone' : 'lives') },
    });
    for (const n of [0, 1]) {
      parts.openState(folder).saveAttachment({
        v: 1,
        network: 'cell',
        containerId: container(n),
        ifname: 'eth0',
        etcd: {},
        node: 'node-1',
        bridge: 'br-cell',
        ovsdb: 'unix:/ovs',
        mtu: 1500,
        createdAt: 0,
        bootId: parts.bootId,
        netns: { path: `/run/netns/${n}`, id: `4:${n}` },
      });
    }
    const lines: string[] = [];
    for (const command of ['--dry-run', '-o json', '--grace 0', '--grace 1s -o yaml', '--grace never']) {
      const ran = await world.run(`node reconcile ${command}`);
      lines.push(`$ cnictl node reconcile ${command}\n`, shown(ran), '\n');
    }
    assert.deepEqual(world.pauses, [30_000, 30_000, 0, 1_000]);
    const cut = { containerId: container(1), ifname: 'eth0' };
    const mac = '02:00:00:00:00:01';
    const ends = { mac, mtu: 1500, up: true, taken: true, carrier: true };
    fake.link = { name: hostLinkName(cut), alias: linkAlias(cut), ...ends };
    for (const command of ['--dry-run --grace 0', '--grace 0']) {
      const ran = await world.run(`node reconcile ${command}`);
      lines.push(`$ cnictl node reconcile ${command} # no port\n`, shown(ran), '\n');
    }
    fake.link = undefined;
    fake.unreachable.add('unix:/ovs');
    lines.push('$ cnictl node reconcile # no Open vSwitch\n', shown(await world.run('node reconcile')));
    hold('reconcile', lines.join(''));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('refusals', async () => {
  const world = await CliWorld.make();
  const before = world.ipam.store.revision;
  const lines: string[] = [];
  for (const command of [
    '',
    'frobnicate',
    'range add',
    'range add 10.20.1.7/22 --gateway 10.20.0.1',
    'range add 10.40.0.0/22 --gateway 10.44.0.1',
    'range add 10.40.0.0/22 --gateway fd00::1',
    'range add 10.40.0.0/22 --vlan 4095',
    'range add 10.40.0.0/22 --vlan x',
    'range add 10.20.2.0/24',
    'range add 10.40.0.0/22 --exclude 10.41.0.0/24',
    'range add 10.40.0.0/22 --cooldown 30',
    'range add 10.40.0.0/22 --cooldown 2d',
    'range add 10.40.0.0/22 --colour red',
    'range add 010.40.0.0/22',
    'range show red',
    'range remove red --yes',
    'block list --range red',
    'ip show 10.99.0.1',
    'ip show 10.20',
    'ip list -o xml',
    'ip history 10.99.0.1',
    'ip history 10.20.0.17 --since yesterday',
    'pod show web-1',
    'pod show shop/',
    'pod show shop/never',
    'release',
    'release 10.99.0.1 --yes',
    'release 10.20.0.20',
    'release --from-report /none --yes',
    'check --release',
    'check --grace soon',
    'check --grace 30d',
    'help range frobnicate',
    'node init --bridge br-cell-far-too-long',
    'node init --bridge br/cell',
    'node init --uplink bond/1',
    'node init --uplink bond9',
    'node init --uplink bond9 --dry-run',
    '--config /none range list',
    '--etcd-endpoints x range list',
  ]) {
    lines.push(`$ cnictl ${command}\n`, shown(await world.run(command === '' ? [] : command)), '\n');
  }
  for (const routes of [
    ['10.96.0.0/12', '--route', '10.96.0.0/12 via 10.40.0.2'],
    ['0.0.0.0/0 via 10.40.0.2'],
  ]) {
    const argv = ['range', 'add', '10.40.0.0/22', '--gateway', '10.40.0.1', '--route', ...routes];
    lines.push(`$ cnictl ${argv.join(' ')}\n`, shown(await world.run(argv)), '\n');
  }
  for (const route of [
    '10.96.0.0/12 via 10.99.0.2',
    '10.40.2.0/24 via 10.40.0.2',
    '10.40.0.0/22 via 10.40.0.2',
  ]) {
    const ran = await world.run(['range', 'add', '10.40.0.0/22', '--route', route]);
    lines.push(`$ cnictl range add 10.40.0.0/22 --route '${route}'\n`, shown(ran), '\n');
  }
  assert.equal(world.ipam.store.revision, before, 'a refusal changes nothing');
  assert.deepEqual(world.ovsdb.written, [], 'a refusal changes nothing');
  hold('refusals', lines.join(''));
});

for (const words of [
  '',
  'range',
  'range add',
  'range set',
  'ip',
  'ip history',
  'pod show',
  'check',
  'release',
  'node',
  'node init',
  'node reconcile',
  'node drain',
  'node remove',
  'block',
  'block return',
  'backup',
  'restore',
  'doctor',
  'node install',
  'node uninstall',
]) {
  test(`help of '${words}'`, async () => {
    const world = await CliWorld.make();
    hold(`help ${words}`, shown(await world.run([...words.split(' ').filter(Boolean), '--help'])));
  });
}

test('help of a command by its name', async () => {
  const world = await CliWorld.make();
  for (const words of ['range', 'range add', 'check'])
    assert.deepEqual(await world.run(`help ${words}`), await world.run(`${words} --help`));
});

test('nothing yet is said in words', async () => {
  const world = new CliWorld();
  const lines: string[] = [];
  for (const command of [
    'range list',
    'block list',
    'block list --node node-1',
    'ip list',
    'ip list --node node-1',
    'node list',
    'status',
  ]) {
    lines.push(`$ cnictl ${command}\n`, shown(await world.run(command)), '\n');
  }
  hold('empty', lines.join(''));
});
