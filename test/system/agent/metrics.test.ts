import assert from 'node:assert/strict';
import { copyFileSync, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS, type CniOutcome } from '../../support/cni.ts';
import { makeCertificates } from '../../support/kube-api-tls.ts';
import { newScope } from '../../support/netns.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { run, until } from '../../support/proc.ts';
import { httpGet, sample, seriesOf } from '../../support/prometheus.ts';
import { BLUE, failed, given, remains, startCluster, succeeded, type Cluster } from '../plugin/world.ts';

interface Health {
  readonly ok: boolean;
  readonly reasons: readonly string[];
  readonly callsUnderWay: number;
}

suite('metrics and health of the node agent', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let agent: RunningAgent;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    agent = await startAgent(node);
  });
  after(async () => {
    await agent.stop();
    await cluster.scope.close();
  });
  const call = (verb: 'ADD' | 'DEL', pod: Pod, config?: object): Promise<CniOutcome> =>
    node.call(verb, pod, { env: agent.env, ...(config && { config }) });
  const pods = (count: number): Promise<Pod[]> =>
    Promise.all(Array.from({ length: count }, (_, i) => node.makePod(`p${i}`)));
  const get = (path: string): ReturnType<typeof httpGet> =>
    httpGet({ socketPath: agent.metricsSocket }, path);
  const scrape = async (): Promise<string> => {
    const { status, body } = await get('/metrics');
    assert.equal(status, 200, body);
    return body;
  };
  const health = async (): Promise<{ status: number; report: Health }> => {
    const { status, body } = await get('/healthz');
    return { status, report: JSON.parse(body) as Health };
  };
  const clean = async (): Promise<void> => {
    assert.equal((await given(cluster.fabric)).size, 0);
    assert.deepEqual(await remains(node), []);
  };

  test('beside its own socket, for root alone; well before anything was asked of it', async () => {
    assert.equal(statSync(agent.metricsSocket).mode & 0o777, 0o600);
    assert.equal((await health()).status, 200);
    const text = await scrape();
    assert.equal(seriesOf(text, 'cellnet_build_info').length, 1);
    assert.ok((sample(text, 'process_resident_memory_bytes') ?? 0) > 0);
    assert.deepEqual(seriesOf(text, 'cellnet_blocks_held'), []);
  });

  test('ADDs and DELs, done and failed: calls, steps, addresses', async () => {
    const many = await pods(5);
    (await Promise.all(many.map((pod) => call('ADD', pod)))).forEach(succeeded);
    const [first, second, third] = many as [Pod, Pod, Pod];
    for (const pod of [first, second]) succeeded(await call('DEL', pod));
    const [other] = (await pods(1)) as [Pod];
    failed(await call('ADD', other, node.networkConfig({ bridge: 'br-none' })), 100, /does not exist/);

    const text = await scrape();
    const calls = (verb: string, outcome: string): number | undefined =>
      sample(text, 'cellnet_call_duration_seconds_count', { verb, outcome });
    assert.deepEqual([calls('ADD', 'done'), calls('ADD', 'failed'), calls('DEL', 'done')], [5, 1, 2]);
    const steps = (verb: string, step: string): number | undefined =>
      sample(text, 'cellnet_step_duration_seconds_count', { verb, step });
    assert.deepEqual([steps('ADD', 'allocate'), steps('ADD', 'attach-port')], [6, 5]);
    assert.deepEqual([steps('DEL', 'release'), steps('DEL', 'forget')], [2, 2]);
    const whole = sample(text, 'cellnet_call_duration_seconds_sum', { verb: 'DEL', outcome: 'done' }) ?? 0;
    assert.ok(whole > 0 && whole < 60, `${whole} s`);
    // The failed ADD allocated an address and released it.
    assert.equal(sample(text, 'cellnet_allocations_total'), 6);
    assert.equal(sample(text, 'cellnet_releases_total'), 3);
    const used = sample(text, 'cellnet_addresses', { range: 'blue', state: 'used' });
    assert.equal(used, (await given(cluster.fabric)).size);
    assert.equal(sample(text, 'cellnet_blocks_held', { range: 'blue' }), 1);
    assert.equal(sample(text, 'cellnet_calls_under_way'), 0);
    assert.equal(sample(text, 'cellnet_pending_releases'), 0);
    for (const pod of many) {
      for (const secret of [pod.containerId, pod.uid, pod.name]) assert.ok(!text.includes(`"${secret}"`));
    }
    assert.equal((await health()).status, 200);
    const lineOf = ({ containerId }: Pod): Record<string, unknown> | undefined =>
      agent.logged('served').find((line) => line['containerId'] === containerId);
    await until('the line of the last call', () => lineOf(other) !== undefined);
    assert.equal(lineOf(other)?.['pod'], `default/${other.name}`);
    for (const pod of [third, ...many.slice(3)]) succeeded(await call('DEL', pod));
    await clean();
  });

  test('etcd does not answer: 503 with the reason, releases are put off; well again when it has answered', async () => {
    const [pod, other] = (await pods(2)) as [Pod, Pod];
    succeeded(await call('ADD', pod));
    cluster.fabric.etcd.pause();
    const calls = Promise.all([call('ADD', other), call('DEL', pod)]);
    await until('calls are under way', async () => (await health()).report.callsUnderWay > 0);
    assert.ok((sample(await scrape(), 'cellnet_calls_under_way') ?? 0) > 0);
    const [add, del] = await calls;
    failed(add, 11, /did not answer/);
    succeeded(del);
    const sick = await health();
    const text = await scrape();
    cluster.fabric.etcd.resume();
    assert.equal(sick.status, 503);
    assert.equal(sick.report.ok, false);
    assert.match(sick.report.reasons.join(), /^etcd at http.* fails since .*did not answer in time$/);
    assert.ok((sample(text, 'cellnet_etcd_errors_total', { code: 'store-unreachable' }) ?? 0) > 0);
    assert.ok((sample(text, 'cellnet_pending_releases') ?? 0) > 0);
    await until('the release', async () => {
      succeeded(await call('DEL', other));
      return (await given(cluster.fabric)).size === 0;
    });
    const { status, report } = await health();
    assert.deepEqual([status, report.reasons], [200, []]);
    // The reconciling agent may be about to remove the record of the last release.
    await until('none to be pending', async () => sample(await scrape(), 'cellnet_pending_releases') === 0);
    await clean();
  });

  test('the database of Open vSwitch is away: 503, and 200 when it is back', async () => {
    const [pod] = (await pods(1)) as [Pod];
    await node.ovs.killDatabase();
    failed(await call('ADD', pod), 11, /./);
    const sick = await health();
    await node.ovs.startDatabase();
    assert.equal(sick.status, 503);
    assert.match(sick.report.reasons.join(), /ovsdb at unix:/);
    await until('a pod gets its network', async () => (await call('ADD', pod)).code === 0, 20_000);
    assert.equal((await health()).status, 200);
    const errors = seriesOf(await scrape(), 'cellnet_ovsdb_errors_total');
    assert.ok(errors.reduce((sum, { value }) => sum + value, 0) > 0);
    succeeded(await call('DEL', pod));
    await until('nothing is put off', async () => {
      succeeded(await call('DEL', pod));
      return (await given(cluster.fabric)).size === 0;
    });
    await clean();
  });

  test('scraped without pause, it serves as before', async () => {
    const many = await pods(12);
    let scrapes = 0;
    let serving = true;
    const scraping = (async () => {
      while (serving) {
        await scrape();
        scrapes++;
      }
    })();
    for (let round = 0; round < 2 || scrapes < 10; round++) {
      (await Promise.all(many.map((pod) => call('ADD', pod)))).forEach(succeeded);
      (await Promise.all(many.map((pod) => call('DEL', pod)))).forEach(succeeded);
    }
    serving = false;
    await scraping;
    await clean();
  });

  test('beyond the node: with TLS, replaced certificates, and a port that is taken harms no call', async () => {
    const scope = newScope();
    try {
      const dir = await scope.tempDir();
      const [ours, others] = [makeCertificates(join(dir, 'a')), makeCertificates(join(dir, 'b'))];
      const files = [ours.serverCertFile, ours.serverKeyFile];
      await agent.stop();
      agent = await startAgent(node, undefined, ['--metrics-listen', '0.0.0.0:9464'], {
        env: {
          CELLNET_METRICS_CERT_FILE: ours.serverCertFile,
          CELLNET_METRICS_KEY_FILE: ours.serverKeyFile,
          CELLNET_METRICS_CLIENT_CA_FILE: others.caFile,
        },
      });
      const curl = async (ca: string, ...more: string[]): Promise<string> => {
        const url = 'https://127.0.0.1:9464/metrics';
        const args = ['-sS', '--max-time', '5', '--cacert', ca, ...more, url];
        const { stdout, stderr } = await run('curl', args, { netns: node.ns.name });
        return stdout || stderr;
      };
      const client = ['--cert', others.clientCertFile, '--key', others.clientKeyFile];
      assert.match(await curl(ours.caFile, ...client), /^cellnet_build_info\{/m);
      for (const wrong of [[], ['--cert', ours.clientCertFile, '--key', ours.clientKeyFile]])
        assert.match(await curl(ours.caFile, ...wrong), /^curl: \(/);
      for (const [i, file] of [others.serverCertFile, others.serverKeyFile].entries())
        copyFileSync(file, files[i] ?? '');
      await until('the new certificate', async () => /build_info/.test(await curl(others.caFile, ...client)));
      assert.match(await curl(ours.caFile, ...client), /^curl: /);

      await agent.stop();
      const taken = '127.0.0.1:9461';
      agent = await startAgent(node, undefined, ['--metrics', taken, '--metrics-listen', taken]);
      const [pod] = (await pods(1)) as [Pod];
      succeeded(await call('ADD', pod));
      succeeded(await call('DEL', pod));
      const told = await run('curl', ['-sS', `http://${taken}/healthz`], { netns: node.ns.name });
      const { ok, metricsPort } = JSON.parse(told.stdout) as Health & { metricsPort: { reason: string } };
      assert.equal(ok, true);
      assert.match(metricsPort.reason, /EADDRINUSE/);
      await clean();
    } finally {
      await scope.close();
    }
  });

  test('on a loopback port instead, or off; what others could reach is refused', async () => {
    const refused = await run(join(OUR_PLUGINS, 'cellnetd'), ['--metrics', '0.0.0.0:9461'], {
      timeoutMs: 10_000,
    });
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /--metrics is "0\.0\.0\.0:9461": expected unix:\/PATH, a loopback address/);

    agent.daemon.signal('SIGTERM');
    await agent.daemon.ended;
    assert.equal(existsSync(agent.metricsSocket), false);
    await agent.stop();
    agent = await startAgent(node, undefined, ['--metrics', '127.0.0.1:9461']);
    assert.equal(existsSync(agent.metricsSocket), false);
    const curl = ['-sS', '--max-time', '5', 'http://127.0.0.1:9461/healthz'];
    const { stdout, stderr } = await run('curl', curl, { netns: node.ns.name });
    assert.equal((JSON.parse(stdout) as Health).ok, true, stderr);

    await agent.stop();
    agent = await startAgent(node, undefined, ['--metrics', 'off']);
    assert.equal(existsSync(agent.metricsSocket), false);
    assert.equal(agent.logged('ready')[0]?.['metrics'], 'off');
  });
});
