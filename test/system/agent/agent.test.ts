import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { NICENESS } from '../../../cni/host/priority.ts';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS, REPOSITORY, type CniOutcome } from '../../support/cni.ts';
import { newScope } from '../../support/netns.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { run, until } from '../../support/proc.ts';
import {
  BLUE,
  failed,
  given,
  podLinks,
  readBlocks,
  remains,
  startCluster,
  succeeded,
  type Cluster,
} from '../plugin/world.ts';

suite('the node agent', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let agent: RunningAgent;
  /** The killed agent. Its folder holds the socket that a later agent took over. */
  let killed: RunningAgent | undefined;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    agent = await startAgent(node);
  });
  after(async () => {
    await agent.stop();
    await killed?.stop();
    await cluster.scope.close();
  });
  const call = (verb: 'ADD' | 'DEL' | 'CHECK', pod: Pod, config?: object): Promise<CniOutcome> =>
    node.call(verb, pod, { env: agent.env, ...(config && { config }) });
  const pods = (count: number): Promise<Pod[]> =>
    Promise.all(Array.from({ length: count }, (_, i) => node.makePod(`p${i}`)));
  /** Waits for the log lines of these calls, because the agent logs a call after its reply. */
  const served = (pod: Pod, ...verbs: string[]): Promise<unknown> =>
    until(`the agent to have served ${verbs.join(', ')}`, () => {
      const lines = agent.logged('served').filter(({ containerId }) => containerId === pod.containerId);
      return lines.map(({ verb }) => String(verb)).join() === verbs.join();
    });
  const portAsked = (): Promise<string> =>
    until('the port to be asked for', async () => {
      const columns = ['--no-wait', '--bare', '--columns=name'];
      return (await node.ovs.vsctl(...columns, 'find', 'port', 'external_ids:owner=cellnet')).trim();
    });
  const clean = async (): Promise<void> => {
    assert.equal((await given(cluster.fabric)).size, 0);
    assert.deepEqual(await remains(node), []);
  };

  test('serves ADD, CHECK and DEL as the plugin by itself does', async () => {
    const [mine, own] = (await pods(2)) as [Pod, Pod];
    const byAgent = await call('ADD', mine);
    const byItself = await node.call('ADD', own);
    succeeded(byAgent);
    succeeded(byItself);
    const shape = ({ result }: CniOutcome): string[] => [
      ...Object.keys(result ?? {}),
      ...Object.keys(result?.interfaces?.[1] ?? {}),
      ...(result?.routes ?? []).map(({ dst }) => dst),
    ];
    assert.deepEqual(shape(byAgent), shape(byItself));
    await mine.ns.pings('10.20.0.1');
    await mine.ns.pings((byItself.result?.ips?.[0]?.address ?? '').split('/')[0] ?? '');
    succeeded(await call('CHECK', mine, node.networkConfig({ prevResult: byAgent.result })));
    // The plugin without the agent removes what the agent set up, and the reverse.
    succeeded(await node.call('DEL', mine));
    succeeded(await call('DEL', own));
    await served(mine, 'ADD', 'CHECK');
    await served(own, 'DEL');
    await clean();
  });

  test('errors come back in words, with their code and exit status', async () => {
    const [pod] = (await pods(1)) as [Pod];
    failed(await call('ADD', pod, node.networkConfig({ mtu: 1 })), 7, /key 'mtu' is 1/);
    failed(await call('ADD', pod, { cniVersion: '9.9.9' }), 1, /cniVersion is "9\.9\.9"/);
    await clean();
  });

  test('claims the next block before the first is full', async () => {
    const many = await pods(13);
    for (const pod of many) succeeded(await call('ADD', pod));
    await until('a second block', async () => (await readBlocks(cluster.fabric)).length >= 2);
    await until('its word', () => agent.logged('claimed a block ahead of need').length > 0);
    for (const pod of many) succeeded(await call('DEL', pod));
    await clean();
  });

  test('50 at once: an address each, in few transactions; and all gone again', async () => {
    const many = await pods(50);
    const before = await cluster.fabric.etcd.revision();
    const outcomes = await Promise.all(many.map((pod) => call('ADD', pod)));
    outcomes.forEach(succeeded);
    assert.equal((await given(cluster.fabric)).size, 50);
    // A transaction that writes adds one to etcd's revision: without batches there would be 50.
    const transactions = (await cluster.fabric.etcd.revision()) - before;
    assert.ok(transactions < 40, `${transactions} transactions for 50 addresses`);
    await many[0]?.ns.pings('10.20.0.1');
    (await Promise.all(many.map((pod) => call('DEL', pod)))).forEach(succeeded);
    await clean();
  });

  test('beside a second agent and plugins that work by themselves, at once: no address has two owners', async () => {
    const second = await startAgent(node);
    try {
      const ways = [agent.env, second.env, {}];
      const by = (way: number, verb: 'ADD' | 'DEL', pod: Pod): Promise<CniOutcome> =>
        node.call(verb, pod, { env: ways[way % ways.length] ?? {} });
      const many = await pods(24);
      const outcomes = await Promise.all(many.map((pod, i) => by(i, 'ADD', pod)));
      outcomes.forEach(succeeded);
      const addresses = outcomes.map(({ result }) => result?.ips?.[0]?.address);
      assert.equal(new Set(addresses).size, many.length);
      assert.equal((await given(cluster.fabric)).size, many.length);
      for (const pod of many) await pod.ns.pings('10.20.0.1');
      // A different process removes what each process set up.
      (await Promise.all(many.map((pod, i) => by(i + 1, 'DEL', pod)))).forEach(succeeded);
      await clean();
    } finally {
      await second.stop();
    }
  });

  test('the same attachment asked for by 6 at once, by agent and by itself: one address, and it works', async () => {
    const [pod] = (await pods(1)) as [Pod];
    const outcomes = await Promise.all(
      Array.from({ length: 6 }, (_, i) => (i % 2 === 0 ? call('ADD', pod) : node.call('ADD', pod))),
    );
    outcomes.forEach(succeeded);
    assert.equal(new Set(outcomes.map(({ result }) => result?.ips?.[0]?.address)).size, 1);
    assert.equal((await given(cluster.fabric)).size, 1);
    await pod.ns.pings('10.20.0.1');
    succeeded(await call('DEL', pod));
    await clean();
  });

  for (const [what, restart] of [
    ['etcd', () => cluster.fabric.etcd.restart()],
    [
      'the database of Open vSwitch',
      async () => {
        await node.ovs.killDatabase();
        await node.ovs.startDatabase();
      },
    ],
    ['ovs-vswitchd', () => node.ovs.restartVswitchd()],
  ] as const) {
    test(`outlives a restart of ${what}`, async () => {
      const [before, later] = (await pods(2)) as [Pod, Pod];
      succeeded(await call('ADD', before));
      await restart();
      await until('a pod gets its network', async () => (await call('ADD', later)).code === 0, 20_000);
      await later.ns.pings('10.20.0.1');
      for (const pod of [before, later]) succeeded(await call('DEL', pod));
      await until('nothing is put off', async () => {
        succeeded(await call('DEL', later));
        return (await given(cluster.fabric)).size === 0;
      });
      await clean();
    });
  }

  test('its etcd does not answer: code 11 within the deadline; DEL ends the pod, and the release follows', async () => {
    const [pod, other] = (await pods(2)) as [Pod, Pod];
    succeeded(await call('ADD', pod));
    cluster.fabric.etcd.pause();
    const [add, del] = await Promise.all([call('ADD', other), call('DEL', pod)]);
    cluster.fabric.etcd.resume();
    failed(add, 11, /did not answer/);
    assert.ok(add.ms < 8_000, `${add.ms} ms`);
    succeeded(del);
    assert.deepEqual(await podLinks(pod), []);
    await until('the release', async () => {
      succeeded(await call('DEL', other));
      return (await given(cluster.fabric)).size === 0;
    });
    await clean();
  });

  test('killed in the middle of an ADD: the plugin does it by itself, and nothing is lost or double', async () => {
    const [pod] = (await pods(1)) as [Pod];
    node.ovs.pauseVswitchd();
    const adding = call('ADD', pod);
    await portAsked();
    await agent.kill();
    node.ovs.resumeVswitchd();
    const outcome = await adding;
    succeeded(outcome);
    assert.equal((await given(cluster.fabric)).size, 1);
    await pod.ns.pings('10.20.0.1');
    // No agent runs now. The plugin still works, and a new agent takes over the socket left behind.
    succeeded(await call('CHECK', pod, node.networkConfig({ prevResult: outcome.result })));
    killed = agent;
    agent = await startAgent(node, killed.socket);
    succeeded(await call('DEL', pod));
    await served(pod, 'DEL');
    await clean();
  });

  test('told to end, it answers what is under way; the plugin goes on without it', async () => {
    const [pod, next] = (await pods(2)) as [Pod, Pod];
    node.ovs.pauseVswitchd();
    const adding = call('ADD', pod);
    await portAsked();
    const ending = agent.stop();
    await until('the agent to take no more calls', () => !existsSync(agent.socket));
    node.ovs.resumeVswitchd();
    succeeded(await adding);
    await ending;
    await served(pod, 'ADD');
    succeeded(await call('ADD', next));
    for (const each of [pod, next]) succeeded(await call('DEL', each));
    agent = await startAgent(node);
    await clean();
  });

  test('its socket is for root alone; a second agent there is refused; noise does it no harm', async () => {
    assert.equal(statSync(agent.socket).mode & 0o777, 0o600);
    assert.equal(statSync(dirname(agent.socket)).mode & 0o777, 0o700);
    const second = await run(join(OUR_PLUGINS, 'cellnetd'), ['--socket', agent.socket], {
      timeoutMs: 10_000,
    });
    assert.equal(second.code, 1);
    assert.match(second.stderr, /another agent answers at/);
    for (const noise of ['', 'GET / HTTP/1.1\r\n\r\n', `cellnet1${'\xff'.repeat(64)}`]) {
      await new Promise<void>((resolve) => {
        const socket = connect(agent.socket, () => socket.end(Buffer.from(noise, 'latin1')));
        socket.on('close', () => resolve());
        socket.on('error', () => resolve());
      });
    }
    const [pod] = (await pods(1)) as [Pod];
    succeeded(await call('ADD', pod));
    succeeded(await call('DEL', pod));
    await clean();
  });

  test('a new MTU of the uplink counts from the next ADD on', async () => {
    const [before, after] = (await pods(2)) as [Pod, Pod];
    const mtuOf = async (pod: Pod): Promise<unknown> => {
      const outcome = await call('ADD', pod);
      succeeded(outcome);
      return outcome.result?.interfaces?.[1]?.mtu;
    };
    const setUplink = async (mtu: number): Promise<void> => {
      await node.ns.exec('ip', 'link', 'set', 'uplink0', 'mtu', `${mtu}`);
      await until('vswitchd to see it', async () =>
        (await node.ovs.vsctl('get', 'Interface', 'uplink0', 'mtu')).startsWith(`${mtu}`),
      );
    };
    assert.equal(await mtuOf(before), 1500);
    await setUplink(1400);
    try {
      assert.equal(await mtuOf(after), 1400);
    } finally {
      await setUplink(1500);
    }
    for (const pod of [before, after]) succeeded(await call('DEL', pod));
    await clean();
  });

  test('all its threads, and its session, have a priority above that of vswitchd', () => {
    const own = `/proc/${agent.daemon.pid}`;
    // The nice value is field 19 of proc_pid_stat(5): the 17th after the name in brackets.
    const niceness = readdirSync(`${own}/task`).map((thread) =>
      Number(readFileSync(`${own}/task/${thread}/stat`, 'utf8').split(') ')[1]?.split(' ')[16]),
    );
    assert.ok(niceness.length > 1);
    assert.deepEqual([...new Set(niceness)], [NICENESS]);
    if (existsSync(`${own}/autogroup`))
      assert.match(readFileSync(`${own}/autogroup`, 'utf8'), new RegExp(`nice ${NICENESS}$`, 'm'));
  });

  test('SIGHUP: it goes on, by files and settings as they are then', async () => {
    agent.daemon.signal('SIGHUP');
    await until('the reload', () => agent.logged('reloaded').length > 0);
    const [pod] = (await pods(1)) as [Pod];
    succeeded(await call('ADD', pod));
    succeeded(await call('DEL', pod));
    await clean();
  });

  test('SIGHUP fails no call that is under way', async () => {
    const all = await pods(12);
    const calls = all.map((pod) => call('ADD', pod));
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      agent.daemon.signal('SIGHUP');
    }
    for (const outcome of await Promise.all(calls)) succeeded(outcome);
    const ended = all.map((pod) => call('DEL', pod));
    agent.daemon.signal('SIGHUP');
    for (const outcome of await Promise.all(ended)) succeeded(outcome);
    assert.equal(agent.logged('cannot be done now: put off').length, 0, 'no DEL was deferred');
    await clean();
  });

  test('is found by key "agent" of the configuration too; false is never asked', async () => {
    const [pod] = (await pods(1)) as [Pod];
    const by = (value: string | false): object => node.networkConfig({ agent: value });
    const plain = { env: { CELLNET_AGENT: undefined } };
    succeeded(await node.call('ADD', pod, { ...plain, config: by(agent.socket) }));
    succeeded(await node.call('DEL', pod, { ...plain, config: by(false) }));
    await served(pod, 'ADD');
    await clean();
  });

  test('the launcher by itself, copied away from its files, says what is missing', async (t) => {
    const dir = await newScope(t).tempDir();
    await run('cp', [join(REPOSITORY, 'dist/bin/cellnet'), dir]);
    const { code, stdout } = await run(join(dir, 'cellnet'), [], {
      env: { CNI_COMMAND: 'VERSION', CELLNET_AGENT: 'false' },
      input: '{}',
    });
    assert.equal(code, 1);
    const reply = JSON.parse(stdout) as { code: number; msg: string };
    assert.equal(reply.code, 5);
    assert.match(reply.msg, /no agent of cellnet answers, and .*libexec\/cellnet cannot be executed/);
  });
});
