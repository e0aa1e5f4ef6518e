import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startFabric, type Fabric } from '../../support/fabric.ts';
import { masqueradeTableOf, setMasquerade } from '../../support/masquerade.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { startNode, type SimulatedNode } from '../../support/node.ts';
import { run, until, type RunResult } from '../../support/proc.ts';
import { httpGet } from '../../support/prometheus.ts';

const KEY = { CELLNET_MASQUERADE_FORWARDED: 'true' };

suite('the table of nftables that the agent keeps', () => {
  let scope: Scope;
  let fabric: Fabric;
  let node: SimulatedNode;
  let agent: RunningAgent;

  before(async () => {
    scope = newScope();
    fabric = scope.use(await startFabric());
    await fabric.cnictl('range', 'add', '10.20.0.0/22', '--name', 'blue');
    node = scope.use(await startNode(fabric, 'nft'));
    agent = scope.use(await startAgent(node));
  });
  after(() => scope.close());

  const doctorLine = async (of: RunningAgent, env: Record<string, string> = {}): Promise<string> => {
    const { stdout } = await run(join(OUR_PLUGINS, 'cnictl'), ['doctor', '-o', 'json'], {
      ...{ env: { ...node.env, ...of.env, ...env }, netns: node.ns.name, timeoutMs: 60_000 },
    });
    const { findings } = JSON.parse(stdout) as {
      findings: { check: string; level: string; detail: string; remedy: string }[];
    };
    const found = findings.find(({ check }) => check === 'masquerading');
    return found ? `${found.level}: ${found.detail}` : '';
  };
  const metric = async (of: RunningAgent, name: string): Promise<string | undefined> => {
    const { body } = await httpGet({ socketPath: of.metricsSocket }, '/metrics');
    return new RegExp(`^${name} (\\d+)$`, 'm').exec(body)?.[1];
  };

  test('there is none, no metric and no line of the doctor, as long as the key is off', async () => {
    assert.equal(await masqueradeTableOf(node), undefined);
    assert.equal(await metric(agent, 'cellnet_masquerade_in_place'), undefined);
    assert.equal(await doctorLine(agent), '');
    assert.match(await doctorLine(agent, KEY), /^fail: the agent runs without key "masqueradeForwarded"/);
  });

  test('it comes with the key, and has the ranges', async () => {
    await setMasquerade(node, agent, true);
    assert.match((await masqueradeTableOf(node)) ?? '', /elements = \{ 10\.20\.0\.0\/22 \}/);
    assert.equal(await metric(agent, 'cellnet_masquerade_in_place'), '1');
    assert.equal(await doctorLine(agent), 'ok: in place for 1 range');
  });

  test('removed or changed by somebody else it is put back, told and counted', async () => {
    const told = (): number =>
      agent.logged('somebody else removed or changed the table inet cellnet of nftables: it is put back')
        .length;
    for (const [i, words] of ['flush ruleset', 'flush chain inet cellnet postrouting'].entries()) {
      await node.ns.exec('nft', ...words.split(' '));
      agent.daemon.signal('SIGHUP');
      await until('it is told', () => told() === i + 1);
      assert.match((await masqueradeTableOf(node)) ?? '', /masquerade/);
    }
    assert.equal(await metric(agent, 'cellnet_masquerade_restored_total'), '2');
    assert.match(await doctorLine(agent), /^warn: in place for 1 range; .* 2 times, and it put it back$/);
  });

  test('it follows a new range within ten seconds', async () => {
    for (const [cidr, name] of [
      ['10.21.0.0/24', 'new'],
      ['fd00:21::/64', 'new6'],
    ] as const)
      assert.equal((await fabric.cnictl('range', 'add', cidr, '--name', name)).code, 0);
    await until('the new range is in the table', async () => {
      const table = (await masqueradeTableOf(node)) ?? '';
      return table.includes('10.21.0.0/24') && table.includes('fd00:21::/64');
    });
  });

  test('it outlives the agent, goes with the key, also when an agent starts without it', async () => {
    const env = { ...KEY };
    const second = scope.use(await startAgent(node, undefined, [], { env }));
    await agent.stop();
    await second.stop();
    assert.ok(await masqueradeTableOf(node));
    agent = scope.use(await startAgent(node));
    await setMasquerade(node, agent, false);
    assert.equal(agent.logged('the node masquerades what it forwards to pods').length, 1);
    await node.ns.exec('nft', 'add', 'table', 'inet', 'cellnet');
    const third = scope.use(await startAgent(node));
    await until('the table is gone', async () => (await masqueradeTableOf(node)) === undefined);
    await third.stop();
  });

  test('a node without nft: the log names key and remedy, the doctor fails, pods are served', async () => {
    const bin = join(await scope.tempDir(), 'bin');
    mkdirSync(bin);
    for (const program of ['setpriv', 'env', 'sh', 'ip', 'node'])
      symlinkSync((await run('which', [program])).stdout.trim(), join(bin, program));
    const bare = scope.use(await startAgent(node, undefined, [], { env: { ...KEY, PATH: bin } }));
    const pod = await node.addPod('served', { config: { agent: bare.socket } });
    await node.delPod(pod, { config: node.networkConfig({ agent: bare.socket }) });
    const [line] = await until('the agent tells it', () => {
      const lines = bare.logged('the node cannot masquerade what it forwards to pods');
      return lines.length > 0 && lines;
    });
    assert.equal(line?.['key'], 'masqueradeForwarded');
    assert.match(String(line['reason']), /nft cannot be started.*Install the package nftables/);
    assert.equal(await metric(bare, 'cellnet_masquerade_in_place'), '0');
    assert.match(await doctorLine(bare, KEY), /^fail: is not in place: the program nft cannot be started/);
    await bare.stop();
  });

  test('cnictl node uninstall takes it away', async () => {
    const root = join(await scope.tempDir(), 'root');
    mkdirSync(root);
    // As in a pod, which has the node's folders below a root and the node's network.
    const env = { ...node.env, CELLNET_STATE_DIR: '/none', KUBERNETES_SERVICE_HOST: '10.96.0.1' };
    const cnictl = (...args: string[]): Promise<RunResult> =>
      run(join(OUR_PLUGINS, 'cnictl'), ['node', ...args, '--root', root], {
        ...{ env, netns: node.ns.name, timeoutMs: 60_000 },
      });
    assert.equal((await cnictl('install', '--no-systemd')).code, 0);
    await node.ns.exec('nft', 'add', 'table', 'inet', 'cellnet');
    await node.ns.exec('nft', 'add', 'table', 'inet', 'theirs');
    const { code, stdout, stderr } = await cnictl('uninstall', '--yes');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^nft delete table inet cellnet$/m);
    assert.equal(await node.ns.exec('nft', 'list', 'tables'), 'table inet theirs\n');
  });
});
