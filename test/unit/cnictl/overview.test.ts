import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../cni/kube/errors.ts';
import { newestOf, isOlderThan, countVersions, unreadFor } from '../../../cnictl/overview/versions.ts';
import { versionsText } from '../../../cnictl/overview/agents.ts';
import { differencesOf } from '../../../cnictl/overview/differences.ts';
import { clusterWarnings } from '../../../cnictl/overview/cluster-warnings.ts';
import { renderTable } from '../../../cnictl/render/table.ts';
import { makePaint } from '../../../cnictl/render/paint.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { setNodeDraining } from '../../../ipam/node/drain.ts';
import type { RangeUsage } from '../../../ipam/query/range-usage.ts';
import { OWN_READ_VERSIONS, type AgentReport } from '../../../ipam/records/agent-report.ts';
import { aliveKey, encodeAliveRecord } from '../../../ipam/records/alive-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { addRule } from '../../../ipam/rules/rules.ts';
import { VERSION } from '../../../ipam/settings/version.ts';
import type { Store } from '../../../ipam/store/store.ts';
import { CliWorld } from '../../golden/world.ts';
import { rule } from '../../support/rule.ts';
import { range } from '../ipam/world.ts';

const WELL: AgentReport = {
  ...{ version: '0.2.0', plugin: '0.2.0', healthy: true, reasons: [], pending: 0 },
  ...{ calls: { served: 7, failed: 0 }, reads: OWN_READ_VERSIONS, at: 0 },
};

/** An agent that lives on the node. @param report undefined: of a release before 0.2.0 */
async function tell(world: CliWorld, node: string, report?: Partial<AgentReport>): Promise<void> {
  const { now } = world.ipam;
  const agent = report && { agent: { ...WELL, at: now, ...report } };
  const alive = { machine: machineOf(node), bootId: 'b', since: now - 60_000, ...agent };
  await world.ipam.store.commit([], [put(aliveKey(node), encodeAliveRecord(alive))]);
}
const machineOf = (node: string): string =>
  ({ 'node-1': '3f2a9c41d0b7', 'node-2': '77d1e0c3a915' })[node] ?? `machine-of-${node}`;

interface NodeJson {
  readonly name: string;
  readonly blocks: number;
  readonly agent: { readonly version: string } | null;
  readonly kubernetes: unknown;
  readonly warnings: readonly { readonly kind: string; readonly level: string; readonly detail: string }[];
}
interface StatusJson {
  readonly etcd: Record<string, unknown>;
  readonly kubernetes: Record<string, unknown>;
  readonly agents: Record<string, unknown>;
  readonly nodeStates: Record<string, number>;
  readonly warnings: readonly { readonly kind: string; readonly text: string; readonly nodes?: string[] }[];
}
const nodesOf = async (world: CliWorld): Promise<Map<string, NodeJson>> => {
  const rows = JSON.parse((await world.run('node list -o json')).stdout) as NodeJson[];
  return new Map(rows.map((row) => [row.name, row]));
};
const statusOf = async (world: CliWorld): Promise<StatusJson> =>
  JSON.parse((await world.run('status -o json')).stdout) as StatusJson;
const kindsOf = (node: NodeJson | undefined): string[] => (node?.warnings ?? []).map(({ kind }) => kind);

suite('what is amiss with a node', () => {
  test('an agent that is not well, with teardowns and another plugin; the most urgent comes first', async () => {
    const world = await CliWorld.make();
    await tell(world, 'node-2', {
      healthy: false,
      reasons: ['ovsdb at unix:/run/db.sock fails since 2026: refused'],
      pending: 3,
      plugin: '0.1.0',
    });
    const node = (await nodesOf(world)).get('node-2');
    assert.deepEqual(kindsOf(node), ['unhealthy', 'pending', 'plugin']);
    const { stdout } = await world.run('node list');
    assert.match(stdout, /^node-2 +active +0\.2\.0 ill +<1m +yes +2 +3\/32 +unhealthy \+2$/m);
    const shown = (await world.run('node show node-2')).stdout;
    assert.match(shown, /^Version: +0\.2\.0, plugin 0\.1\.0$/m);
    assert.match(shown, /^Warning: +unhealthy: ovsdb at unix:\/run\/db\.sock fails .* → cnictl doctor/m);
    assert.match(shown, /^Warning: +pending: 3 teardowns /m);
    const { agents, warnings } = await statusOf(world);
    assert.equal(agents['unhealthy'], 1);
    assert.equal(warnings[0]?.kind, 'unhealthy', 'failures come before warnings');
  });

  test('a node with an agent and no block is listed', async () => {
    const world = await CliWorld.make();
    await tell(world, 'node-7', {});
    const node = (await nodesOf(world)).get('node-7');
    assert.deepEqual([node?.blocks, node?.agent?.version], [0, '0.2.0']);
    assert.deepEqual(kindsOf(node), ['gone'], 'the API server has node-1 and node-2');
  });

  test('where no agent lives anywhere, none is missed', async () => {
    const world = await CliWorld.make();
    for (const node of ['node-1', 'node-2']) world.ipam.store.entries.delete(aliveKey(node));
    assert.deepEqual([...(await nodesOf(world)).values()].flatMap(kindsOf), []);
    assert.match((await world.run('status')).stdout, /^Agents: +none is known to be alive$/m);
  });

  test('a drain is told after a day', async () => {
    const world = await CliWorld.make();
    await setNodeDraining(world.ipam.ipam, 'node-1', true);
    assert.deepEqual(kindsOf((await nodesOf(world)).get('node-1')), []);
    world.ipam.now += 3 * 86_400_000;
    const node = (await nodesOf(world)).get('node-1');
    assert.deepEqual(
      node?.warnings.filter(({ kind }) => kind === 'draining').map(({ detail }) => detail),
      ['since 3d'],
    );
  });

  test('what a check condemned waits for its node', async () => {
    const world = await CliWorld.make();
    world.agentsWork = false;
    await world.run('check --grace 0 --release --yes --wait 0');
    const node = (await nodesOf(world)).get('node-1');
    assert.deepEqual(kindsOf(node), ['condemned']);
    assert.match((await world.run('status')).stdout, /nodes that have yet to clear .*: node-1 \(\d address/);
  });

  test('a key that cannot be read is told, and is no agent', async () => {
    const world = await CliWorld.make();
    await world.ipam.store.commit([], [put(aliveKey('node-2'), '{"v":1,"agent":{}}')]);
    const node = (await nodesOf(world)).get('node-2');
    assert.deepEqual(kindsOf(node), ['unreadable', 'silent']);
    assert.match(node?.warnings[0]?.detail ?? '', /alive\/node-2/);
  });
});

suite('agents of several versions', () => {
  test('older ones are told, each with its version', async () => {
    const world = await CliWorld.make();
    await tell(world, 'node-1', { version: '0.10.0', plugin: '0.10.0' });
    await tell(world, 'node-2', { version: '0.9.0', plugin: '0.9.0' });
    assert.deepEqual(kindsOf((await nodesOf(world)).get('node-1')), []);
    assert.deepEqual(kindsOf((await nodesOf(world)).get('node-2')), ['older']);
    const text = (await world.run('status')).stdout;
    assert.match(text, /^Versions: +0\.10\.0 on 1, 0\.9\.0 on 1$/m);
    assert.match(text, /agents of an older version than others: node-2 \(0\.9\.0, newest 0\.10\.0\)/);
  });

  test('records that an agent does not read, or does not say that it reads, are the first thing told', async () => {
    const world = await CliWorld.make();
    await tell(world, 'node-1', { reads: { ...OWN_READ_VERSIONS, rules: 2 } });
    await tell(world, 'node-2');
    assert.deepEqual(kindsOf((await nodesOf(world)).get('node-1')), [], 'as long as there is none');
    await addRule(world.ipam.ipam, rule('own', { pod: 'x-*', ranges: ['blue'], ownBlocks: true }));
    const nodes = await nodesOf(world);
    assert.deepEqual(nodes.get('node-1')?.warnings[0], {
      ...{ kind: 'cannot-read', level: 'fail', detail: '0.2.0: rules' },
    });
    assert.deepEqual(
      nodes.get('node-2')?.warnings.map(({ detail }) => detail),
      ['version not told: rules', 'version not told, newest 0.2.0'],
    );
    assert.deepEqual((await statusOf(world)).warnings[0]?.nodes, ['node-1', 'node-2']);
  });

  test('a rule that they cannot read is warned of when it is added', async () => {
    const world = await CliWorld.make();
    const add = (name: string, ...more: string[]): ReturnType<CliWorld['run']> =>
      world.run(['rule', 'add', name, '--namespace', 'x', '--range', 'blue', '--dry-run', ...more]);
    await tell(world, 'node-2', { reads: { ...OWN_READ_VERSIONS, rules: 2 } });
    assert.doesNotMatch((await add('a', '--keep', '1h')).stderr, /cannot read/);
    assert.match(
      (await add('b', '--own-blocks')).stderr,
      /agents on node-2 cannot read this rule, or do not say/,
    );
    await tell(world, 'node-2');
    assert.match((await add('a', '--keep', '1h')).stderr, /agents on node-2 cannot read/);
    assert.doesNotMatch((await add('c')).stderr, /cannot read/);
  });

  test('many nodes make one line, of which the first five are named', async () => {
    const world = await CliWorld.make();
    for (let n = 10; n < 22; n++) await tell(world, `node-${n}`, { pending: 1 });
    world.kube = { listNodes: () => Promise.resolve([]) };
    const { warnings, agents, nodeStates } = await statusOf(world);
    const pending = warnings.find(({ kind }) => kind === 'pending');
    assert.match(pending?.text ?? '', /: node-10 \(1 teardown\), .* node-14 \(1 teardown\) and 7 more$/);
    assert.equal(pending?.nodes?.length, 12);
    assert.deepEqual([agents['alive'], agents['healthy'], agents['silent']], [13, 13, 1]);
    assert.deepEqual(nodeStates, { known: 14, active: 14, draining: 0, silent: 1 });
  });

  test('the order of versions', () => {
    assert.equal(newestOf(['0.9.0', undefined, 'from source', '0.10.0-rc.1', null]), '0.10.0-rc.1');
    assert.equal(newestOf(['from source']), undefined);
    assert.equal(isOlderThan(undefined, '0.2.0'), true);
    assert.equal(isOlderThan('from source', '0.2.0'), false);
    const agents = ['0.9.0', undefined, '0.10.0', '0.9.0', 'from source'];
    const counts = countVersions(agents.map((version, n) => ({ name: `n${n}`, version })));
    assert.equal(
      versionsText(counts),
      '0.10.0 on 1 (n2), 0.9.0 on 2, from source on 1 (n4), not told on 1 (n1)',
    );
    assert.deepEqual(unreadFor(undefined, { ranges: 1, blocks: 2, rules: 1 }), ['blocks']);
  });
});

suite('servers that say little', () => {
  test('an API server that forbids, or is another cluster, stops neither list nor status', async () => {
    const world = await CliWorld.make();
    const refusal = new KubeError('forbidden', 'https://api forbids to list nodes: 403');
    world.kube = { listNodes: () => Promise.reject(refusal) };
    const { status, stdout, stderr } = await world.run('node list');
    assert.equal(status, 0);
    assert.match(stdout, /^node-1 .* 0\.2\.0 ok +<1m +- /m);
    assert.match(stderr, /the API server's word is missing: .*forbids to list nodes/);
    const told = await world.run('status');
    assert.equal(told.status, 2);
    assert.match(told.stdout, /^ {2}warn {2}https:\/\/api forbids/m);
    world.kube = { listNodes: () => Promise.resolve([{ name: 'other', uid: 'u', ready: true }]) };
    assert.deepEqual((await nodesOf(world)).get('node-1')?.kubernetes, null, 'it has none of our nodes');
  });

  test('not Ready, and gone from a cluster that has others of ours', async () => {
    const world = await CliWorld.make();
    world.nodes = [{ name: 'node-1', uid: 'u', ready: false }];
    const nodes = await nodesOf(world);
    assert.deepEqual(kindsOf(nodes.get('node-1')), ['not-ready']);
    assert.deepEqual(kindsOf(nodes.get('node-2')), ['silent', 'gone']);
    const { kubernetes } = await statusOf(world);
    assert.deepEqual([kubernetes['ready'], kubernetes['withoutRecord']], [0, []]);
  });

  test('etcd: one endpoint that is away, alarms, two versions; and one that tells root only', async () => {
    const world = await CliWorld.make();
    world.env['CELLNET_ETCD_ENDPOINTS'] = 'http://a:2379,http://b:2379';
    let asked = 0;
    world.etcd = {
      status: () =>
        asked++ === 0
          ? Promise.resolve({ version: '3.5.9', dbBytes: 3 * 1024 ** 3, hasLeader: true })
          : Promise.reject(new IpamError('store-unreachable', 'http://b:2379 does not answer')),
      alarms: () => Promise.resolve(['NOSPACE of member 1']),
    };
    const { etcd, warnings } = await statusOf(world);
    assert.deepEqual(
      [etcd['versions'], etcd['members'], etcd['alarms']],
      [['3.5.9'], 3, ['NOSPACE of member 1']],
    );
    const text = warnings.map((each) => each.text).join('\n');
    assert.match(text, /etcd http:\/\/b:2379: http:\/\/b:2379 does not answer/);
    assert.match(text, /etcd alarms: NOSPACE of member 1/);
    assert.match(text, /above 80 % of etcd's default quota/);
    const denied = (): Promise<'denied'> => Promise.resolve('denied');
    world.etcd = { status: denied, alarms: denied, members: denied };
    assert.match(
      (await world.run('status')).stdout,
      /^Members: +2 endpoints configured, version and size told to root only$/m,
    );
  });

  test('a range that is nearly full, and one of which all blocks are claimed', async () => {
    const world = await CliWorld.make();
    await world.run('range add 10.50.0.0/27 --name tiny --gateway 10.50.0.1');
    for (let n = 0; n < 14; n++) await world.give('node-1', 60 + n, `t-${n}`, [`10.50.0.${2 + n}`]);
    const before = (await statusOf(world)).warnings.map(({ kind }) => kind);
    assert.ok(!before.includes('ranges-nearly-full'));
    for (let n = 14; n < 27; n++) await world.give('node-1', 60 + n, `t-${n}`, [`10.50.0.${2 + n}`]);
    const { warnings } = await statusOf(world);
    assert.match(warnings.map(({ text }) => text).join('\n'), /every block of tiny is claimed/);
  });
});

test('a range with less than a tenth of its addresses is nearly full, while blocks are left', () => {
  const blue = range('10.20.0.0/22', { name: 'blue' });
  const usage = (free: number, claimed: number): RangeUsage => ({
    ...{ range: blue, capacity: 1_022, allocated: 1_022 - free, cooling: 0, kept: 0, free },
    blocks: { total: 64, claimed },
  });
  const kinds = (free: number, claimed: number): string[] =>
    clusterWarnings({
      ...{ writes: null, etcd: [], lost: { nodes: [], unreadable: [] }, usages: [usage(free, claimed)] },
      ...{ rules: { rules: [], unreadable: [] }, setBack: undefined, unreadable: [], nodes: [] },
      ...{ kubernetes: null, now: 0 },
    }).map(({ kind }) => kind);
  assert.deepEqual(kinds(103, 60), []);
  assert.deepEqual(kinds(102, 60), ['ranges-nearly-full']);
  assert.deepEqual(kinds(102, 64), ['ranges']);
});

test('wide columns come only when they are asked for', () => {
  const columns = [
    { title: 'A', value: () => 'a' },
    { title: 'B', value: () => 'b', wide: true },
  ];
  assert.equal(renderTable(columns, [1], makePaint(false)), 'A\na\n');
  const wide = makePaint(false, { headers: true, isWide: true });
  assert.equal(renderTable(columns, [1], wide), 'A  B\na  b\n');
});

suite('version', () => {
  test('all of one version: no differences', async () => {
    const world = await CliWorld.make();
    await tell(world, 'node-2', {});
    world.agent = { answers: true, health: { ok: true, version: VERSION, reasons: [] } };
    const { status, stdout } = await world.run('version');
    assert.equal(status, 0);
    assert.match(stdout, new RegExp(`^Client: +${VERSION} \\(Node.js v`, 'm'));
    assert.match(stdout, new RegExp(`^Agent: +${VERSION} at /run/cellnet/agent.sock$`, 'm'));
    assert.match(stdout, /^Agents: +0\.2\.0 on 2$/m);
    assert.match(stdout, /^etcd: +3\.4\.23$/m);
    assert.doesNotMatch(stdout, /Differences/);
  });

  test('what differs is told: this node, agents of several versions, plugins', async () => {
    const world = await CliWorld.make();
    await tell(world, 'node-2', { version: '0.9.0', plugin: '0.8.0' });
    world.agent = { answers: true, health: { ok: true, version: '0.7.0', reasons: [] } };
    const { status, stdout } = await world.run('version -o json');
    assert.equal(status, 0);
    const { differences, agents } = JSON.parse(stdout) as { differences: string[]; agents: unknown[] };
    assert.deepEqual(differences, [
      `the agent of this node is 0.7.0, this cnictl ${VERSION}`,
      'the agents have several versions: 0.9.0 on 1, 0.2.0 on 1',
      'plugin and agent differ on node-2 (plugin 0.8.0, agent 0.9.0)',
    ]);
    assert.deepEqual(agents[0], { version: '0.9.0', agents: 1, nodes: ['node-2'] });
  });

  test('an agent that is not there, and an etcd that is away, leave the rest', async () => {
    const world = await CliWorld.make();
    world.agent = { answers: false, health: undefined };
    const away = (): never => {
      throw new IpamError('store-unreachable', 'http://e:2379 does not answer');
    };
    world.store = { scan: away } as unknown as Store;
    const { status, stdout, stderr } = await world.run('version');
    assert.equal(status, 2);
    assert.match(stdout, /^Agent: +none answers at /m);
    assert.doesNotMatch(stdout, /^etcd:/m);
    assert.match(stderr, /^cnictl: http:\/\/e:2379 does not answer/);
  });

  test('--client asks nobody', async () => {
    const world = await CliWorld.make();
    world.store = {} as unknown as Store;
    assert.deepEqual(await world.run('version --client'), {
      ...{ status: 0, stdout: `${VERSION}\n`, stderr: '' },
    });
    assert.deepEqual(JSON.parse((await world.run('version --client -o json')).stdout), {
      client: { version: VERSION, nodejs: process.version },
    });
  });

  test('the order of this cnictl, its node and the cluster', () => {
    const none = { agent: undefined, plugin: undefined, agents: [], plugins: [], etcd: [] };
    assert.deepEqual(differencesOf({ ...none, client: '0.2.0' }), []);
    assert.deepEqual(
      differencesOf({
        ...{ client: '0.2.0', agent: '0.3.0', plugin: '0.2.0', plugins: [], etcd: ['3.4.23', '3.5.9'] },
        agents: [{ version: '0.3.0', agents: 2, nodes: ['a', 'b'] }],
      }),
      [
        'the agent of this node is 0.3.0, this cnictl 0.2.0',
        'the plugin installed on this node is 0.2.0, its agent 0.3.0',
        'this cnictl (0.2.0) is older than agents (0.3.0): it may not read all of their records',
        'the members of etcd have several versions: 3.4.23, 3.5.9',
      ],
    );
  });
});
