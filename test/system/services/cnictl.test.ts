import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { endpoint } from '../../support/kube-api.ts';
import type { SimulatedNode } from '../../support/node.ts';
import { run, type RunResult } from '../../support/proc.ts';
import { addUsualPods, dumpFlows, makeServicesWorld, type ServicePod, type ServicesWorld } from './world.ts';

interface Listed {
  readonly bridges: readonly { bridge: string; inPlace: boolean; flows: number; differences: number }[];
  readonly services: readonly { service: string; address: string; endpoints: number; local: number }[];
  readonly refusals: readonly { service: string; what: string }[];
}
interface Shown {
  readonly connectionsUnknown: string | null;
  readonly frontends: readonly {
    readonly connections: number;
    readonly rows: readonly { address: string; state: string; chosen: boolean; connections: number }[];
  }[];
}
interface Traced {
  readonly outcome: string;
  readonly steps: readonly { table: string; text: string }[];
  readonly endpoint: { address: string; port: number; pod: string | null } | null;
  readonly seenAs: string | null;
  readonly byGateway: boolean;
  readonly mac: string | null;
  readonly outputs: readonly { port: string; pod: string | null }[];
}

suite('cnictl on a node that serves Services', () => {
  let world: ServicesWorld;
  let client: ServicePod;
  let near: ServicePod;
  let far: ServicePod;
  let other: ServicePod;
  before(async () => {
    world = await makeServicesWorld({ ipv6: true });
    ({ client, near, far, other } = await addUsualPods(world));
    for (const pod of [near, far]) await pod.process.serve('tcp', '::', 8080, pod.name);
    await world.serve({
      ...{ name: 'web', ip: '10.96.0.10,fd00:96::10' },
      endpoints: [
        endpoint(near.ip, { nodeName: 'svc-a' }),
        endpoint(far.ip, { conditions: { ready: false, serving: false, terminating: false } }),
      ],
    });
    world.api.putEndpointSlice({
      ...{ name: 'web-6', service: 'web', ports: [{ name: 'http', protocol: 'TCP', port: 8080 }] },
      ...{ addressType: 'IPv6', endpoints: [endpoint(near.ip6)] },
    });
    await world.serve({ name: 'far', ip: '10.96.0.11', endpoints: [endpoint(far.ip)] });
    await world.serve({ name: 'other', ip: '10.96.0.12', endpoints: [endpoint(other.ip)] });
    await world.serve({ name: 'none', ip: '10.96.0.13', endpoints: [] });
    await world.serve({ name: 'self', ip: '10.96.0.14', endpoints: [endpoint(client.ip)] });
    await world.serve({ name: 'taken', ip: '10.20.0.1', endpoints: [endpoint(far.ip)] });
  });
  after(() => world.stop());

  const cnictl = (args: readonly string[], env: Record<string, string> = {}): Promise<RunResult> => {
    const [node, agent] = [world.nodes[0], world.agents[0]];
    return run(join(OUR_PLUGINS, 'cnictl'), args, {
      env: { ...node.env, ...agent?.env, KUBECONFIG: world.kubeconfig, ...env },
      netns: node.ns.name,
    });
  };
  const json = async <T>(...args: readonly string[]): Promise<T> => {
    const { code, stdout, stderr } = await cnictl([...args, '-o', 'json']);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as T;
  };

  test('service list: each address and port, what is refused, and the bridges', async () => {
    const { bridges, services, refusals } = await json<Listed>('service', 'list');
    assert.deepEqual(
      services
        .filter(({ service }) => service !== 'default/settled')
        .map(({ service, address, endpoints, local }) => [service, address, endpoints, local]),
      [
        ['default/far', '10.96.0.11', 1, 0],
        ['default/none', '10.96.0.13', 0, 0],
        ['default/other', '10.96.0.12', 1, 0],
        ['default/self', '10.96.0.14', 1, 0],
        ['default/web', '10.96.0.10', 1, 1],
        ['default/web', 'fd00:96::10', 1, 0],
      ],
    );
    assert.deepEqual(
      refusals.map(({ service }) => service),
      ['default/taken'],
    );
    const [bridge] = bridges;
    assert.ok(
      bridge && bridge.inPlace && bridge.flows > 20 && bridge.differences === 0,
      JSON.stringify(bridges),
    );
    const { stdout } = await cnictl(['service', 'list']);
    assert.match(stdout, /^default\/web +cluster +10\.96\.0\.10 +80\/TCP +1 +1 +-$/m);
  });

  test('service show: endpoints, why one is not chosen, and the connections to each', async () => {
    await client.process.hold('open', '10.96.0.10', 80);
    try {
      const shown = await json<Shown>('service', 'show', 'default/web');
      assert.equal(shown.connectionsUnknown, null);
      const [frontend] = shown.frontends;
      assert.deepEqual(
        frontend?.rows.map(({ address, state, chosen, connections }) => [
          address,
          state,
          chosen,
          connections,
        ]),
        [
          [near.ip, 'ready', true, 1],
          [far.ip, 'not-ready', false, 0],
        ].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
      );
      assert.equal(frontend.connections, 1);
      const table = (await cnictl(['service', 'show', 'default/web'])).stdout;
      assert.match(table, /10\.96\.0\.10 port 80\/TCP \(http\), 1 connection$/m);
      assert.match(table, /not-ready +0 +no: is not ready$/m);
    } finally {
      await client.process.drop('open');
    }
  });

  test('trace: what each kind of packet meets', async () => {
    const traced = (destination: string): Promise<Traced> =>
      json<Traced>('trace', 'default/client', destination);
    const web = await traced('10.96.0.10:80');
    assert.deepEqual(
      [web.outcome, web.endpoint, web.seenAs, web.mac, web.outputs.map(({ pod }) => pod)],
      [
        'forwarded',
        { address: near.ip, port: 8080, pod: 'default/near' },
        client.ip,
        near.mac,
        ['default/near'],
      ],
    );
    const six = await traced('[fd00:96::10]:80');
    assert.deepEqual([six.outcome, six.endpoint?.address, six.mac], ['forwarded', near.ip6, near.mac]);
    const there = await traced('10.96.0.11:80');
    assert.deepEqual([there.endpoint?.address, there.mac], [far.ip, far.mac]);
    const routed = await traced('10.96.0.12:80/tcp');
    assert.deepEqual([routed.endpoint?.address, routed.byGateway], [other.ip, true]);
    const self = await traced('10.96.0.14:80');
    assert.deepEqual(
      [self.seenAs, self.outputs.map(({ pod }) => pod)],
      ['169.254.206.17', ['default/client']],
    );
    for (const [destination, outcome, last] of [
      ['10.96.0.13:80', 'refused', /no endpoint/],
      ['10.96.0.10:81', 'refused', /no such port/],
      ['10.96.0.10:80/udp', 'refused', /no such port/],
      ['10.96.0.10', 'dropped', /answers nothing else/],
    ] as const) {
      const { outcome: found, steps } = await traced(destination);
      assert.equal(found, outcome, destination);
      assert.match(steps.at(-1)?.text ?? '', last, destination);
    }
    const direct = await traced(near.ip);
    assert.deepEqual([direct.outcome, direct.mac, direct.endpoint], ['forwarded', near.mac, null]);
    assert.equal((await traced(near.ip6)).mac, near.mac);
    assert.equal((await traced('192.0.2.1:443')).byGateway, true);
    const raw = await cnictl(['trace', 'default/client', '10.96.0.10:80', '--raw']);
    assert.match(raw.stdout, /^Datapath actions: /m);
  });

  test('what cannot be told is exit status 2, with a remedy', async () => {
    for (const [args, told] of [
      [['service', 'show', 'default/wbe'], /'default\/wbe' is not known\n {2}Did you mean 'default\/web'/],
      [['trace', 'default/far', '10.96.0.10:80'], /has no port on this node/],
      [['trace', 'default/client', '10.96.0.10:80/icmp'], /expected ADDRESS/],
    ] as const) {
      const ran = await cnictl(args);
      assert.equal(ran.code, 2, ran.stdout);
      assert.match(ran.stderr, told);
    }
    const without = await cnictl(['service', 'list'], { CELLNET_AGENT: '/run/none/agent.sock' });
    assert.equal(without.code, 2);
    assert.match(without.stderr, /no agent answers/);
  });

  test('flows that somebody deleted are counted, and are there again', async () => {
    const node: SimulatedNode = world.nodes[0];
    const isLasting = (flow: string): boolean => !flow.includes('idle_timeout=');
    const lasting = async (): Promise<number> => (await dumpFlows(node)).filter(isLasting).length;
    const flows = await lasting();
    await node.ovs.ofctl('-O', 'OpenFlow15', 'del-flows', 'br-cell', 'table=120');
    const end = performance.now() + 30_000;
    while ((await json<Listed>('service', 'list')).bridges[0]?.differences !== 1) {
      assert.ok(performance.now() < end, 'the agent counts its flows every 10 s');
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    assert.equal(await lasting(), flows);
  });

  test('doctor tells whether Services are served, and why not', async () => {
    const lines = async (env: Record<string, string>): Promise<Map<string, string>> => {
      const { stdout } = await cnictl(['doctor', '-o', 'json'], env);
      const { findings } = JSON.parse(stdout) as {
        findings: { check: string; level: string; detail: string }[];
      };
      return new Map(findings.map(({ check, level, detail }) => [check, `${level}: ${detail}`]));
    };
    const served = await lines({});
    assert.match(served.get('Services') ?? '', /^warn: 6 Services served at 7 .* 1 refusal, such as/);
    // Somebody deleted flows in the test before.
    assert.match(served.get('program of br-cell') ?? '', /^warn: in place, .* changed its flows 1 time,/);
    assert.match((await lines({ CELLNET_AGENT: 'false' })).get('Services') ?? '', /^warn: no agent is used/);
  });

  test('node uninstall takes the flows away, and the bridge goes on', async () => {
    const [node, agent] = [world.nodes[0], world.agents[0]];
    await agent?.stop();
    const isOurs = (flow: string): boolean => flow.includes('cookie=0xce11');
    assert.ok((await dumpFlows(node)).some(isOurs), 'an agent that ends leaves them');
    const root = mkdtempSync(join(tmpdir(), 'cellnet-'));
    try {
      // In a pod the node's folders are below the root, and so is the socket of Open vSwitch.
      mkdirSync(join(root, dirname(dirname(node.ovs.socket))), { recursive: true });
      symlinkSync(dirname(node.ovs.socket), join(root, dirname(node.ovs.socket)));
      const install = ['node', 'install', '--root', root, '--no-systemd'];
      assert.equal((await cnictl(install)).code, 0);
      const { code, stdout, stderr } = await cnictl(['node', 'uninstall', '--root', root, '--yes']);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^flows of cellnet removed from bridge br-cell$/m);
    } finally {
      rmSync(root, { recursive: true });
    }
    const left = await dumpFlows(node);
    assert.deepEqual(left.filter(isOurs), []);
    assert.ok(
      left.some((flow) => flow.includes('NORMAL')),
      left.join('\n'),
    );
    assert.equal((await client.process.ask('tcp', near.ip, 8080)).name, 'near');
  });
});
