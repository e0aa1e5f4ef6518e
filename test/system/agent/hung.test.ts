import assert from 'node:assert/strict';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS, type CniOutcome } from '../../support/cni.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { run, startDaemon, until } from '../../support/proc.ts';
import { httpGet, sample } from '../../support/prometheus.ts';
import {
  BLUE,
  given,
  podLinks,
  remains,
  startCluster,
  stateFiles,
  succeeded,
  type Cluster,
} from '../plugin/world.ts';

/** Prints each datagram that arrives at the socket, as systemd would read it. */
const SERVICE_MANAGER = `import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind(sys.argv[1]); print('up',flush=True)
while True: print(s.recv(4096).decode(),flush=True)`;

suite('an agent that hangs, or is out of reach', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let agent: RunningAgent;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    agent = await startAgent(node);
  });
  after(async () => {
    agent.daemon.signal('SIGCONT');
    await agent.stop();
    await cluster.scope.close();
  });
  const call = (verb: 'ADD' | 'DEL', pod: Pod, config?: object): Promise<CniOutcome> =>
    node.call(verb, pod, { env: agent.env, timeoutMs: 60_000, ...(config && { config }) });
  const past = async (reason: string): Promise<number | undefined> => {
    const { body } = await httpGet({ socketPath: agent.metricsSocket }, '/metrics');
    return sample(body, 'cellnet_calls_past_agent_total', { reason });
  };
  const probe = async (): Promise<number | null> =>
    (await run(join(OUR_PLUGINS, 'cellnet'), ['--probe'], { env: { CELLNET_AGENT: agent.socket } })).code;

  test('DELs end within 45 s: carried out by the plugin, or deferred where the agent holds the lock', async () => {
    const [idle, held, next] = (await Promise.all(
      ['idle', 'held', 'next'].map((name) => node.makePod(name)),
    )) as [Pod, Pod, Pod];
    succeeded(await call('ADD', idle));
    // The agent hangs in the middle of an ADD, whose runtime gives up.
    node.ovs.pauseVswitchd();
    const adding = node.call('ADD', held, { env: agent.env, timeoutMs: 3_000 });
    const isUnderWay = async (): Promise<boolean> =>
      stateFiles(node).some((file) => file.includes(held.containerId)) &&
      (await given(cluster.fabric)).size === 2;
    await until('the ADD to have its address', isUnderWay);
    agent.daemon.pause();
    await assert.rejects(adding, /did not end within/);
    node.ovs.resumeVswitchd();
    assert.equal(await probe(), 1);

    const [free, deferred] = await Promise.all([call('DEL', idle), call('DEL', held)]);
    for (const outcome of [free, deferred]) {
      succeeded(outcome);
      assert.ok(outcome.ms > 29_000 && outcome.ms < 45_000, `${outcome.ms} ms`);
    }
    assert.deepEqual(await podLinks(idle), []);
    assert.equal((await given(cluster.fabric)).size, 1);
    assert.deepEqual(
      stateFiles(node).filter((file) => file.startsWith('pending/')),
      [`pending/${held.containerId},eth0.json`],
    );

    agent.daemon.signal('SIGCONT');
    await until('it to drop the DELs', () => {
      const dropped = agent.logged('a call was dropped: its caller has given up');
      return dropped.filter(({ verb }) => verb === 'DEL').length === 2;
    });
    assert.equal(await probe(), 0);
    assert.equal(await past('hung'), 2);
    await until('the deferred teardown', async () => {
      succeeded(await call('DEL', next));
      return (await given(cluster.fabric)).size === 0 && (await remains(node)).length === 0;
    });
  });

  test('calls that come past it are counted; a plain path of its own socket is none of them', async () => {
    const pod = await node.makePod('past');
    const by = (value: string | false): Promise<CniOutcome> =>
      node.call('ADD', pod, {
        env: { CELLNET_AGENT: undefined },
        config: node.networkConfig({ agent: value }),
      });
    succeeded(await by(agent.socket));
    assert.equal(await past('configured'), 0);
    succeeded(await by(false));
    succeeded(await by(`${agent.socket}.other`));
    assert.deepEqual([await past('configured'), await past('unanswered')], [1, 1]);
    succeeded(await call('DEL', pod));
  });

  test('sockets that were removed are made again', async () => {
    for (const path of [agent.socket, agent.metricsSocket]) rmSync(path);
    for (const path of [agent.socket, agent.metricsSocket])
      await until(`${path} to be there`, () => existsSync(path));
    assert.equal(await probe(), 0);
    assert.equal(typeof (await past('hung')), 'number');
    assert.equal(agent.logged('a socket was gone, and is there again').length, 2);
  });

  test('the Node plugin probes where an agent listens that the configuration forbids', async () => {
    const file = join(dirname(agent.socket), 'config.json');
    writeFileSync(file, '{"agent":false}');
    const probed = await run(join(OUR_PLUGINS, 'cellnet'), ['--probe'], { env: { CELLNET_CONFIG: file } });
    assert.deepEqual([probed.code, probed.stderr], [1, 'no agent answers at /run/cellnet/agent.sock\n']);
  });

  test('two that start at once at one socket: one goes on, and the end of the other takes nothing', async () => {
    const socket = join(dirname(agent.socket), 'both.sock');
    const env = { ...node.env, CELLNET_AGENT: socket };
    const start = (): Promise<{ stop: () => Promise<void> } | undefined> =>
      startAgent(node, socket, ['--metrics', 'off'], { env }).catch(() => undefined);
    const both = (await Promise.all([start(), start()])).filter((each) => each !== undefined);
    try {
      assert.equal(both.length, 1);
      const asked = await run(join(OUR_PLUGINS, 'cellnet'), ['--probe'], { env: { CELLNET_AGENT: socket } });
      assert.equal(asked.code, 0, asked.stderr);
    } finally {
      for (const each of both) await each.stop();
    }
    assert.equal(existsSync(socket), false);
  });

  test('it tells systemd that it lives, and tells nothing while it hangs', async () => {
    const socket = join(dirname(agent.socket), 'notify.sock');
    const manager = await startDaemon('python3', ['-c', SERVICE_MANAGER, socket], (each) =>
      each.output().includes('up'),
    );
    const told = (state: string): number =>
      manager
        .output()
        .split('\n')
        .filter((line) => line === state).length;
    const env = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '1500000' };
    const second = await startAgent(node, undefined, [], { env });
    try {
      await until('it to be ready', () => told('READY=1') === 1);
      await until('two signs of life', () => told('WATCHDOG=1') >= 2);
      second.daemon.pause();
      await new Promise((resolve) => setTimeout(resolve, 200));
      const before = told('WATCHDOG=1');
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assert.equal(told('WATCHDOG=1'), before);
      second.daemon.signal('SIGCONT');
      await until('a sign of life', () => told('WATCHDOG=1') > before);
    } finally {
      await second.stop();
      await manager.stop();
    }
    assert.equal(told('STOPPING=1'), 1);
  });
});
