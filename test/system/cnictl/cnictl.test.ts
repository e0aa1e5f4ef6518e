import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { release } from '../../../ipam/release/release.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import {
  hostNetworkPod,
  lies,
  node,
  pod,
  startKubeApi,
  staticPod,
  type Fault,
  type KubeApiServer,
} from '../../support/kube-api.ts';
import { newScope, scopedNamespace, type Scope } from '../../support/netns.ts';
import { startOvs } from '../../support/ovs.ts';
import { must, run, type RunResult } from '../../support/proc.ts';
import { owner } from '../../unit/ipam/world.ts';
import { BLUE } from '../plugin/world.ts';

const uid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

suite('cnictl on real etcd', () => {
  let scope: Scope;
  let etcd: Etcd;
  let api: KubeApiServer;
  let kubeconfig: string;
  let ipam: Ipam;
  let dir: string;
  const ips = new Map<string, string>();

  before(async () => {
    scope = newScope();
    dir = await scope.tempDir();
    etcd = scope.use(await startEtcd());
    api = await startKubeApi();
    scope.defer(() => api.close());
    kubeconfig = join(dir, 'kubeconfig');
    api.writeKubeconfig(kubeconfig);
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => store.close());
    ipam = directIpam(store, hostEffects);
    assert.equal((await cnictl('range', 'add', ...BLUE)).code, 0);

    api.putNode(node({ name: 'node-1', ready: false }));
    await give('web-1', 1);
    await give('gone', 2);
    await give('db-0', 3);
    await give('static', 'a1b2c3');
    api.putPod(
      pod({ namespace: 'shop', name: 'web-1', uid: uid(1), node: 'node-1', ip: ips.get('web-1') ?? '' }),
    );
    // The pod was recreated under its name, so the address of its earlier UID is leaked.
    api.putPod(pod({ namespace: 'shop', name: 'db-0', uid: uid(33), node: 'node-2' }));
    api.putPod(
      staticPod({ namespace: 'shop', name: 'static', uid: uid(4), node: 'node-1', configHash: 'a1b2c3' }),
    );
    api.putPod(
      hostNetworkPod({
        namespace: 'kube-system',
        name: 'proxy',
        uid: uid(5),
        node: 'node-1',
        ip: '10.20.3.3',
      }),
    );
  });
  after(() => scope.close());

  const cnictl = (...args: string[]): Promise<RunResult> =>
    run(join(OUR_PLUGINS, 'cnictl'), args, {
      env: { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','), HOME: dir, KUBECONFIG: undefined },
      timeoutMs: 40_000,
    });
  const give = async (name: string, n: number | string): Promise<void> => {
    const podUid = typeof n === 'number' ? uid(n) : n;
    const given = await allocate(ipam, {
      node: 'node-1',
      owner: owner(`c-${name}`, { podNamespace: 'shop', podName: name, podUid }),
      families: [4],
    });
    ips.set(name, given.map(({ address }) => formatAddress(address)).join());
  };
  const leaked = (stdout: string): string[] =>
    (JSON.parse(stdout) as { leaked: { pod: { name: string }; reason: string }[] }).leaked
      .map((each) => `${each.pod.name} ${each.reason}`)
      .sort();
  const revision = async (): Promise<string> =>
    /"revision":(\d+)/.exec(await etcd.ctl('get', 'x', '-w', 'json'))?.[1] ?? '';

  test('check finds the leaks and only them: no living, static or host-network pod', async () => {
    await cnictl('check', '--kubeconfig', kubeconfig, '--grace', '0');
    const before = await revision();
    const ran = await cnictl(
      'check',
      '--kubeconfig',
      kubeconfig,
      '--grace',
      '100ms',
      '-o',
      'json',
      '--save',
      join(dir, 'report.json'),
    );
    assert.equal(ran.code, 1, ran.stderr);
    assert.deepEqual(leaked(ran.stdout), ['db-0 pod-replaced', 'gone pod-gone']);
    assert.deepEqual(leaked(readFileSync(join(dir, 'report.json'), 'utf8')), leaked(ran.stdout));
    assert.equal(await revision(), before);
  });

  const faults: [what: string, fault: Fault, message: RegExp][] = [
    ['forbids it', { kind: 'status', status: 403, reason: 'Forbidden' }, /forbids to list pods: 403/],
    ['drops the end of the list', lies.dropTail(2, 100), /cnictl: http:.*\n {2}Nothing was concluded/],
    ['repeats a page', lies.repeatToken(2), /cnictl: http:.*\n {2}Nothing was concluded/],
  ];
  for (const [what, fault, message] of faults) {
    test(`an API server that ${what}: status 2, nothing released`, async () => {
      for (let i = 0; i < 1200; i++)
        api.putPod(pod({ namespace: 'bulk', name: `p${i}`, uid: uid(1000 + i), node: 'n' }));
      const before = await revision();
      api.faults.when((request) => (request.path.includes('/pods') ? fault : undefined));
      const ran = await cnictl('check', '--kubeconfig', kubeconfig, '--grace', '0', '--release', '--yes');
      api.faults.clear();
      assert.equal(ran.code, 2, ran.stdout);
      assert.match(ran.stderr, message);
      assert.equal(await revision(), before);
    });
  }

  test('an API server that is down, and a kubeconfig that is not there: status 2', async () => {
    const other = join(dir, 'other');
    await writeFile(other, readFileSync(kubeconfig, 'utf8').replace(/127\.0\.0\.1:\d+/, '127.0.0.1:1'));
    const down = await cnictl('check', '--kubeconfig', other, '--grace', '0', '--release', '--yes');
    assert.equal(down.code, 2);
    assert.match(down.stderr, /127\.0\.0\.1:1/);
    const none = await cnictl('check', '--kubeconfig', join(dir, 'none'));
    assert.equal(none.code, 2);
    assert.match(none.stderr, /none/);
    assert.doesNotMatch(none.stderr, /at .*\.js:\d/);
  });

  test('without an API server nothing is released, nor said to be', async () => {
    const before = await revision();
    for (const how of [[ips.get('gone') ?? ''], ['--from-report', join(dir, 'report.json')]]) {
      for (const more of [['--yes'], ['--dry-run']]) {
        const ran = await cnictl('release', ...how, ...more);
        assert.deepEqual([ran.code, ran.stdout], [2, '']);
        assert.match(ran.stderr, /no API server is known.*\n.*--kubeconfig, or add --force/);
      }
    }
    assert.equal(await revision(), before);
  });

  test('a dry run changes nothing', async () => {
    const before = await revision();
    const ran = await cnictl('release', ips.get('gone') ?? '', '--kubeconfig', kubeconfig, '--dry-run');
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /would be released \(pod-gone\)/);
    assert.equal((await cnictl('range', 'add', '10.99.0.0/24', '--dry-run')).code, 0);
    assert.equal((await cnictl('range', 'remove', 'blue', '--dry-run')).code, 2);
    assert.equal(await revision(), before);
  });

  test('the report is released, but not what changed hands meanwhile', async () => {
    await release(ipam, {
      node: 'node-1',
      attachment: { containerId: 'c-db-0', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    const ran = await cnictl(
      'release',
      '--from-report',
      join(dir, 'report.json'),
      '--kubeconfig',
      kubeconfig,
      '--yes',
      '-o',
      'json',
    );
    assert.equal(ran.code, 0, ran.stderr);
    const outcomes = JSON.parse(ran.stdout) as { ip: string; outcome: string }[];
    assert.deepEqual(
      outcomes.map(({ ip, outcome }) => `${ip} ${outcome}`).sort(),
      [`${ips.get('gone') ?? ''} released`, `${ips.get('db-0') ?? ''} free`].sort(),
    );
    const after = await cnictl('check', '--kubeconfig', kubeconfig, '--grace', '0');
    assert.equal(after.code, 0, after.stdout);
  });

  test('tables, JSON and YAML tell the same; what scripts rely on is there', async () => {
    const ranges = JSON.parse((await cnictl('range', 'list', '-o', 'json')).stdout) as Record<
      string,
      unknown
    >[];
    const { name, cidr, gateway, vlan, state, capacity, allocated, free, blocks } = ranges[0] ?? {};
    assert.deepEqual(
      { name, cidr, gateway, vlan, state, capacity, allocated, free, blocks },
      {
        name: 'blue',
        cidr: '10.20.0.0/22',
        gateway: '10.20.0.1',
        vlan: 120,
        state: 'active',
        capacity: 1021,
        allocated: 2,
        free: 1019,
        blocks: { total: 64, claimed: 1 },
      },
    );
    assert.match(
      (await cnictl('-o', 'yaml', 'range', 'list')).stdout,
      /- name: blue\n {2}cidr: 10\.20\.0\.0\/22/,
    );
    const [row] = JSON.parse((await cnictl('ip', 'list', '--node', 'node-1', '-o', 'json')).stdout) as Record<
      string,
      unknown
    >[];
    for (const key of [
      'ip',
      'range',
      'block',
      'node',
      'containerId',
      'ifname',
      'pod',
      'allocatedAt',
      'state',
    ])
      assert.ok(row && key in row, key);
    const shown = JSON.parse((await cnictl('ip', 'show', ips.get('web-1') ?? '', '-o', 'json')).stdout) as {
      pod: object;
      state: string;
    };
    assert.deepEqual([shown.pod, shown.state], [{ namespace: 'shop', name: 'web-1', uid: uid(1) }, 'used']);
    const [block] = JSON.parse((await cnictl('block', 'list', '-o', 'json')).stdout) as Record<
      string,
      unknown
    >[];
    assert.deepEqual(
      [block?.['range'], block?.['node'], block?.['capacity'], block?.['allocated']],
      ['blue', 'node-1', block?.['capacity'], 2],
    );
  });

  test('etcd that is down: status 2 within the deadline, with a remedy', async () => {
    etcd.pause();
    const started = performance.now();
    const ran = await cnictl('status');
    etcd.resume();
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /cnictl: etcd at .* did not answer in time.*\n {2}Check etcd with/);
    assert.ok(performance.now() - started < 8_000);
    const none = await cnictl('--etcd-endpoints', 'http://127.0.0.1:1', 'range', 'list');
    assert.equal(none.code, 2);
    assert.match(none.stderr, /etcd at http:\/\/127\.0\.0\.1:1 is unreachable/);
  });

  test('a list into a pipe that nobody reads ends quietly with status 2, onto a full device with a line', async () => {
    const inShell = (line: string): Promise<RunResult> =>
      run('bash', ['-c', line, 'bash', join(OUR_PLUGINS, 'cnictl'), 'range', 'list'], {
        env: { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','), HOME: dir },
      });
    const closed = await inShell('"$@" | true; exit "${PIPESTATUS[0]}"');
    assert.deepEqual([closed.code, closed.stderr], [2, '']);
    const full = await inShell('"$@" > /dev/full');
    assert.deepEqual(
      [full.code, full.stderr],
      [2, 'cnictl: the output cannot be written: no space left on device\n'],
    );
  });

  test('the configuration file, the environment and the flag, in this order of weakness', async () => {
    const file = join(dir, 'config.json');
    await writeFile(file, JSON.stringify({ etcd: { endpoints: ['http://127.0.0.1:1'] } }));
    const env = { CELLNET_CONFIG: file, HOME: dir, KUBECONFIG: undefined, CELLNET_ETCD_ENDPOINTS: undefined };
    const program = join(OUR_PLUGINS, 'cnictl');
    assert.match((await run(program, ['range', 'list'], { env })).stderr, /127\.0\.0\.1:1/);
    const better = { ...env, CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(',') };
    assert.equal((await run(program, ['range', 'list'], { env: better })).code, 0);
    const flag = ['--etcd-endpoints', 'http://127.0.0.1:2', 'range', 'list'];
    assert.match((await run(program, flag, { env: better })).stderr, /127\.0\.0\.1:2/);
  });

  test('node init makes the bridge and attaches the uplink, once', async (t) => {
    const mine = newScope(t);
    const ns = await scopedNamespace(mine, 'init');
    await must('ip', ['-n', ns.name, 'link', 'add', 'bond1', 'up', 'type', 'veth', 'peer', 'name', 'far']);
    const ovs = mine.use(await startOvs({ netns: ns.name, dir: join(await mine.tempDir(), 'ovs') }));
    const init = (...args: string[]): Promise<RunResult> =>
      run(
        join(OUR_PLUGINS, 'cnictl'),
        [
          'node',
          'init',
          '--ovsdb',
          ovs.remote,
          '--bridge',
          'br-cell',
          '--uplink',
          'bond1',
          '--datapath',
          'netdev',
          ...args,
        ],
        { netns: ns.name, timeoutMs: 40_000 },
      );
    assert.match(
      (await init('--dry-run')).stdout,
      /would do: bridge br-cell made.*\nwould do: uplink bond1 attached/,
    );
    assert.equal((await ovs.vsctl('list-br')).trim(), '');
    assert.equal((await init()).code, 0);
    assert.equal((await ovs.vsctl('list-ports', 'br-cell')).trim(), 'bond1');
    assert.match((await init()).stdout, /nothing to do/);
    const refused = await init('--bridge', 'br-other');
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /uplink 'bond1' is on bridge 'br-cell'/);
    for (const more of [[], ['--dry-run']]) {
      const typo = await init('--bridge', 'br-other', '--uplink', 'bond9', ...more);
      assert.equal(typo.code, 2);
      assert.match(typo.stderr, /uplink 'bond9': this host has no such device/);
    }
    assert.equal((await ovs.vsctl('list-br')).trim(), 'br-cell');
    const absent = await cnictl('node', 'init', '--ovsdb', 'unix:/run/none.sock');
    assert.match(absent.stderr, /unix:\/run\/none\.sock is unreachable/);
  });
});
