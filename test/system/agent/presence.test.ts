/** The key in etcd that tells that a node's agent lives. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { decodeAliveRecord, type AliveRecord } from '../../../ipam/records/alive-record.ts';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import type { SimulatedNode } from '../../support/node.ts';
import { until } from '../../support/proc.ts';
import { BLUE, startCluster, succeeded, type Cluster } from '../plugin/world.ts';

const KEY = '/cellnet/v1/alive/node-1';

/** The record without what changes from report to report. */
const lifeOf = ({ agent: _, ...life }: AliveRecord): Omit<AliveRecord, 'agent'> => life;

suite('the agent is told alive', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let agent: RunningAgent;

  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
  });
  afterEach(() => agent.stop());
  after(() => cluster.scope.close());

  const start = async (env: Readonly<Record<string, string>> = {}): Promise<AliveRecord> => {
    agent = await startAgent(node, undefined, [], { env: { CELLNET_RECONCILE_INTERVAL_MS: '0', ...env } });
    return await alive();
  };
  const read = async (): Promise<{ record: AliveRecord; lease: string } | undefined> => {
    const text = await cluster.fabric.etcd.ctl('get', KEY, '-w', 'fields');
    // JSON would round the lease's ID.
    const [, value] = /^"Value" : (".*")$/m.exec(text) ?? [];
    const [, lease] = /^"Lease" : (\d+)$/m.exec(text) ?? [];
    if (value === undefined || lease === undefined) return undefined;
    return { record: decodeAliveRecord(KEY, JSON.parse(value) as string), lease };
  };
  const alive = async (): Promise<AliveRecord> => (await until('the alive key', read)).record;

  test('from its start to SIGTERM, under a lease of a minute', async () => {
    const { machine, since } = await start({ CELLNET_MACHINE_ID: 'rack-7' });
    assert.equal(machine, 'rack-7');
    assert.ok(Math.abs(Date.now() - since) < 60_000);
    const leases = (await cluster.fabric.etcd.ctl('lease', 'list')).trim().split('\n').slice(1);
    assert.equal(leases.length, 1);
    assert.match(
      await cluster.fabric.etcd.ctl('lease', 'timetolive', leases[0] ?? ''),
      /granted with TTL\(60s\)/,
    );
    await agent.stop();
    assert.equal(await read(), undefined);
  });

  test('a killed agent says no more; the next one of the machine takes the key over', async () => {
    const { since } = await start();
    await agent.kill();
    await agent.stop();
    assert.equal((await read())?.record.since, since);
    await start();
    await until('the key of the next agent', async () => (await alive()).since > since);
  });

  test('SIGHUP goes on under a lease of its own, with reconciling turned off too', async () => {
    const before = await start();
    const lease = (await read())?.lease;
    agent.daemon.signal('SIGHUP');
    await until('another lease', async () => (await read())?.lease !== lease);
    assert.deepEqual(lifeOf(await alive()), lifeOf(before));
  });

  test('it tells its version, health and calls, and the version of the plugin that calls it', async () => {
    const { agent: first } = await start();
    const { version } = JSON.parse(readFileSync(join(OUR_PLUGINS, '../package.json'), 'utf8')) as {
      version: string;
    };
    const reads = { ranges: 2, blocks: 2, rules: 3 };
    const well = { version, healthy: true, reasons: [], pending: 0, reads };
    assert.ok(first);
    const { at, ...told } = first;
    assert.deepEqual(told, { ...well, calls: { served: 0, failed: 0 } });
    assert.ok(Math.abs(Date.now() - at) < 60_000);
    const pod = await node.makePod('p');
    succeeded(await node.call('ADD', pod, { env: agent.env }));
    succeeded(await node.call('DEL', pod, { env: agent.env }));
    // A report with other counts is due after minutes, and at once after a reload.
    agent.daemon.signal('SIGHUP');
    const next = await until('the next report', async () => {
      const found = (await read())?.record.agent;
      return found && found.at > at ? found : undefined;
    });
    const { at: _, ...later } = next;
    assert.deepEqual(later, { ...well, plugin: version, calls: { served: 2, failed: 0 } });
    const { code, stdout } = await cluster.fabric.cnictl('node', 'list', '-o', 'json');
    assert.equal(code, 0);
    assert.match(stdout, /"version": "\d+\.\d+\.\d+"/);
    assert.match((await cluster.fabric.cnictl('status')).stdout, /^Agents: +1 of 1 healthy$/m);
  });

  test('an etcd that restarts or is set back has it again', async () => {
    const snapshot = await cluster.fabric.etcd.snapshot();
    const before = await start();
    await cluster.fabric.etcd.restart();
    assert.deepEqual(lifeOf(await alive()), lifeOf(before));
    await cluster.fabric.etcd.restore(snapshot);
    assert.equal(await read(), undefined);
    await until('the key after the restore', read, 40_000);
    assert.deepEqual(lifeOf(await alive()), lifeOf(before));
  });

  test('an etcd that answers nothing holds up neither a call nor the end', async () => {
    await start();
    const pod = await node.makePod('p');
    cluster.fabric.etcd.pause();
    try {
      const startedAt = performance.now();
      assert.equal((await node.call('ADD', pod, { env: agent.env })).result?.code, 11);
      await agent.stop();
      assert.ok(performance.now() - startedAt < 15_000);
    } finally {
      cluster.fabric.etcd.resume();
    }
    succeeded(await node.call('DEL', pod));
  });
});
