/**
 * `npm run demo` shows the main use with real components: two simulated nodes (a network namespace
 * with an Open vSwitch each), a switch, a VLAN with its gateway, etcd, and a small server that
 * plays the Kubernetes API. The demo removes everything it made.
 *
 *     npm run demo -- --keep             stays at the end, with pods that come and go, until Ctrl-C
 *     npm run demo -- --record FILE.cast also writes FILE.cast (asciinema), and FILE.svg
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startAgent } from '../support/agent.ts';
import { startCapture } from '../support/capture.ts';
import { OUR_PLUGINS } from '../support/cni.ts';
import { startFabric, type Fabric } from '../support/fabric.ts';
import { newScope, type Scope } from '../support/netns.ts';
import { startNode, type AddedPod, type SimulatedNode } from '../support/node.ts';
import { endpoint } from '../support/kube-api-services.ts';
import { startPodProcess, type PodProcess } from '../support/pod-process.ts';
import { must, sleep } from '../support/proc.ts';
import { tcpTransfer } from '../support/transfer.ts';
import { startPodServer, type PodServer } from '../support/pod-server.ts';
import { formatCast } from './cast.ts';
import { castToSvg } from './cast-svg.ts';
import { keptAddress } from './kept.ts';
import { aborted, keepMoving, startLooking } from './look.ts';
import { bold, chapter, end, expect, recorder, show, step } from './story.ts';

const { values: OPTIONS } = parseArgs({
  options: { keep: { type: 'boolean', default: false }, record: { type: 'string' } },
});

const RANGE = '10.20.0.0/22';
const GATEWAY = '10.20.0.1';
const VLAN = 120;

interface World {
  readonly fabric: Fabric;
  readonly api: PodServer;
  readonly a: SimulatedNode;
  readonly b: SimulatedNode;
}

/** Runs cnictl as an operator does and prints the command with its output. */
async function cnictl(
  { fabric }: Pick<World, 'fabric'>,
  expected: number,
  ...args: string[]
): Promise<string> {
  show(bold(`$ cnictl ${args.join(' ')}`));
  const { code, stdout, stderr } = await fabric.cnictl(...args);
  show(stdout + stderr);
  expect(code === expected, `cnictl ended with status ${String(code)}: expected ${expected}`);
  return stdout;
}

async function build(scope: Scope): Promise<World> {
  chapter('A cluster in network namespaces');
  const fabric = await step(
    'etcd, a physical switch and the gateway 10.20.0.1 on VLAN 120 are up',
    async () => scope.use(await startFabric({ gateways: [{ vlan: VLAN, address: `${GATEWAY}/22` }] })),
  );
  const api = await step('a server that speaks the Kubernetes API for pods is up', async () =>
    scope.use(await startPodServer(fabric, await scope.tempDir())),
  );
  const [a, b] = await step('two nodes are up, each with an Open vSwitch bridge br-cell and its uplink', () =>
    Promise.all(['node-a', 'node-b'].map(async (name) => scope.use(await startNode(fabric, name)))),
  );
  expect(a !== undefined && b !== undefined, 'a node did not start');
  for (const { name } of [a, b]) await api.putNode(name);
  return { fabric, api, a, b };
}

async function addRange(world: World): Promise<void> {
  chapter('The operator adds a range');
  await step('a /22 on VLAN 120 is added', () =>
    cnictl(
      world,
      0,
      'range',
      'add',
      RANGE,
      '--gateway',
      GATEWAY,
      '--name',
      'blue',
      '--vlan',
      `${VLAN}`,
      '--cooldown',
      '2s',
    ),
  );
  await step('a range that overlaps with it is refused', () =>
    cnictl(world, 2, 'range', 'add', '10.20.2.0/24', '--gateway', '10.20.2.1'),
  );
}

async function addPod(world: World, node: SimulatedNode, name: string): Promise<AddedPod> {
  const pod = await node.addPod(name);
  await world.api.put({ namespace: 'default', name, uid: pod.uid, node: node.name, ip: pod.ip });
  return pod;
}

async function addPods(world: World): Promise<AddedPod[]> {
  chapter('Pods are made: the runtime executes the plugin for each');
  const pods: AddedPod[] = [];
  for (const [node, name] of [
    [world.a, 'web-1'],
    [world.a, 'web-2'],
    [world.b, 'db-1'],
    [world.b, 'db-2'],
  ] as const) {
    await step(`pod ${name} gets its interface on ${node.name}`, async () => {
      const pod = await addPod(world, node, name);
      pods.push(pod);
      show(await pod.ns.exec('ip', '-brief', 'address', 'show', 'eth0'));
    });
  }
  await step('every address is different, and each node gives from a block of its own', () => {
    expect(new Set(pods.map((pod) => pod.ip)).size === pods.length, 'two pods have one address');
    return cnictl(world, 0, 'block', 'list');
  });
  return pods;
}

async function talk(world: World, pods: readonly AddedPod[]): Promise<void> {
  chapter('Pods talk');
  const [web, , db] = pods;
  expect(web !== undefined && db !== undefined, 'pods are missing');
  await step(`web-1 on node-a pings db-1 on node-b (${db.ip})`, () => web.ns.pings(db.ip));
  await step(`web-1 pings the gateway ${GATEWAY}`, () => web.ns.pings(GATEWAY));
  for (const [from, to, what] of [
    [web, db, 'web-1 → db-1'],
    [db, web, 'db-1 → web-1'],
  ] as const) {
    await step(`4 MB over TCP, ${what}, arrive whole`, () =>
      tcpTransfer(from.ns, to.ns, to.ip, 4 * 1024 * 1024),
    );
  }
  await step('the tables tell who has what', async () => {
    await cnictl(world, 0, 'range', 'list');
    await cnictl(world, 0, 'ip', 'list');
  });
}

const DNS = '10.96.0.10';
const SHOP = '10.96.0.20';
const SHOP_NAME = 'shop.default.svc.cluster.local';

/** A Service by its name: the client's own bridge chooses the endpoint. */
async function services(world: World, pods: readonly AddedPod[], scope: Scope): Promise<void> {
  chapter("Services: the node's bridge is their proxy");
  const { api, a, b } = world;
  const [client, ...servers] = await step(
    'agents that follow the API server are up on both nodes',
    async () => {
      for (const node of [a, b])
        scope.use(await startAgent(node, undefined, [], { env: { KUBECONFIG: api.kubeconfig } }));
      return pods.map((pod) => ({ ...pod, process: scope.use(startPodProcess(pod.ns)) }));
    },
  );
  const [web, db, dns] = servers;
  expect(
    client !== undefined && web !== undefined && db !== undefined && dns !== undefined,
    'pods are missing',
  );
  await dns.process.names(dns.ip, { [SHOP_NAME]: SHOP });
  for (const each of [web, db]) await each.process.serve('tcp', each.ip, 8080, each.name);
  const shop = (...of: readonly AddedPod[]): Promise<void> =>
    api.putEndpointSlice('shop-1', { service: 'shop', endpoints: of.map(({ ip }) => endpoint(ip)) });

  await step(`web-1 looks up ${SHOP_NAME} at the ClusterIP ${DNS}`, async () => {
    const udp = [{ name: 'dns', protocol: 'UDP', port: 53 }];
    await api.putService('dns', { clusterIPs: [DNS], ports: udp });
    await api.putEndpointSlice('dns-1', { service: 'dns', ports: udp, endpoints: [endpoint(dns.ip)] });
    await api.putService('shop', { clusterIPs: [SHOP] });
    await shop(web, db);
    const found = await client.process.lookUp(DNS, SHOP_NAME);
    show(`${SHOP_NAME} is ${found.join()}`);
    expect(found.join() === SHOP, 'the name has another address');
  });
  await step(
    `60 connections to ${SHOP} spread over both endpoints, which see web-1's own address`,
    async () => {
      const counts = await client.process.many(SHOP, 80, 60);
      show(JSON.stringify(counts));
      expect(Object.keys(counts).sort().join() === 'db-1,web-2', 'not both endpoints were reached');
      const { seen } = await client.process.ask('tcp', SHOP, 80);
      expect(seen === client.ip, `the endpoint sees ${seen}`);
    },
  );
  await step('web-2 goes: an open connection to it goes on, new ones reach db-1', async () => {
    let name = '';
    for (let tries = 0; name !== 'web-2' && tries < 50; tries++)
      ({ name = '' } = await client.process.hold('open', SHOP, 80));
    await shop(db);
    const last = await settledOn(client.process, 'db-1');
    expect((await client.process.talk('open')).name === 'web-2', 'the open connection moved');
    show(`new connections: ${last}; the open one: web-2`);
  });
  await step('without endpoints a connection is refused at once', async () => {
    await shop();
    await settledOn(client.process, 'ECONNREFUSED');
    const { error, ms = 0 } = await client.process.ask('tcp', SHOP, 80);
    show(`${error} after ${ms.toFixed(1)} ms`);
  });
}

/** Waits until connections get this answer. */
async function settledOn(client: PodProcess, wanted: string): Promise<string> {
  const end = performance.now() + 5_000;
  for (;;) {
    const { name, error = '' } = await client.ask('tcp', SHOP, 80);
    if ((name ?? error) === wanted) return wanted;
    expect(performance.now() < end, `connections still get ${name ?? error}: expected ${wanted}`);
    await sleep(20);
  }
}

async function crash(world: World, pods: readonly AddedPod[]): Promise<readonly string[]> {
  chapter('node-b loses power: no DEL is ever called');
  const lost = pods.slice(2);
  await step('node-b is gone, and its pods from the API server', async () => {
    await world.b.crash();
    await world.api.putNode(world.b.name, false);
    for (const pod of lost) await world.api.remove('default', pod.name);
  });
  await step('check finds just its two addresses', async () => {
    const report = JSON.parse(
      await cnictl(world, 1, 'check', '--kubeconfig', world.api.kubeconfig, '--grace', '1s', '-o', 'json'),
    ) as { leaked: { ip: string }[] };
    const found = report.leaked.map((each) => each.ip).sort();
    const expected = lost.map((pod) => pod.ip).sort();
    expect(found.join() === expected.join(), `check found ${found.join()}: expected ${expected.join()}`);
  });
  const addresses = lost.map((pod) => pod.ip);
  await step('an address that lives is not released', async () => {
    const alive = pods[0]?.ip ?? '';
    await cnictl(world, 2, 'release', alive, '--yes', '--kubeconfig', world.api.kubeconfig);
  });
  await step('release frees the leaked ones', () =>
    cnictl(world, 0, 'release', ...addresses, '--yes', '--kubeconfig', world.api.kubeconfig),
  );
  await step('check finds nothing any more', () =>
    cnictl(world, 0, 'check', '--kubeconfig', world.api.kubeconfig, '--grace', '0s'),
  );
  return addresses;
}

async function reuse(
  scope: Scope,
  world: World,
  pods: readonly AddedPod[],
  freed: readonly string[],
): Promise<SimulatedNode> {
  chapter('node-b comes back, and a freed address is given out again');
  const [web] = pods;
  expect(web !== undefined, 'web-1 is missing');
  const again = await step('node-b is up again', async () =>
    scope.use(await startNode(world.fabric, 'node-b')),
  );
  const capture = scope.use(await startCapture(web.ns.name, 'eth0', 'arp'));
  await sleep(2000);
  await step(
    'its pods use up the block, and get the freed addresses too: never-used ones come first, then the one released longest ago',
    async () => {
      const ips: string[] = [];
      while (ips.length < 16 && !freed.every((ip) => ips.includes(ip))) {
        ips.push((await addPod(world, again, `job-${ips.length + 1}`)).ip);
      }
      expect(
        freed.every((ip) => ips.includes(ip)),
        `given were ${ips.join(', ')}: expected ${freed.join(', ')} among them`,
      );
      show(`given: ${ips.join(', ')}`);
    },
  );
  await step('web-1, a neighbour on node-a, heard the gratuitous ARP for each', async () => {
    await sleep(300);
    const lines = await capture.stop();
    for (const ip of freed) {
      const line = lines.find((each) => each.includes(`who-has ${ip} `) && each.includes(`tell ${ip}`));
      expect(line !== undefined, `no gratuitous ARP for ${ip} was heard`);
      show(line);
    }
  });
  await step('web-1 reaches it at the new place', () => web.ns.pings(freed[0] ?? ''));
  return again;
}

async function remove(world: World, pods: readonly AddedPod[]): Promise<void> {
  chapter('Pods end');
  await step('the pods of node-a are removed: interface, port and address are gone', async () => {
    for (const pod of pods.slice(0, 2)) {
      await world.a.delPod(pod);
      await world.api.remove('default', pod.name);
    }
    const ports = await world.a.ovs.vsctl('list-ports', 'br-cell');
    expect(ports.trim() === 'uplink0', `bridge br-cell has ${ports}: expected only uplink0`);
    const files = readdirSync(world.a.stateDir, { recursive: true, encoding: 'utf8' });
    const ofPods = files.filter((file) => /^(?:attachments|pending|addresses)\/./.test(file));
    expect(ofPods.length === 0, `node-a still has records: ${ofPods.join(', ')}`);
    const { stdout } = await world.fabric.cnictl('ip', 'list', '-o', 'json');
    const used = (JSON.parse(stdout) as { ip: string; state: string }[]).filter(
      ({ state }) => state === 'used',
    );
    for (const { ip } of pods.slice(0, 2))
      expect(!used.some((each) => each.ip === ip), `etcd still has ${ip} in use`);
  });
  await step('the state of it all', () => cnictl(world, 0, 'status'));
}

async function database(world: World, [web]: readonly AddedPod[], scope: Scope): Promise<void> {
  expect(web !== undefined, 'web-1 is missing');
  await keptAddress(scope, web, {
    ...{ a: world.a, b: world.b },
    addPod: (node, name) => addPod(world, node, name),
    delPod: async (node, pod) => {
      await node.delPod(pod);
      await world.api.remove('default', pod.name);
    },
    cnictl: (...args) => cnictl(world, 0, ...args),
  });
}

/** Ends what the work has begun, such as agents, before the next chapter. */
async function withScope(work: (scope: Scope) => Promise<void>): Promise<void> {
  const scope = newScope();
  try {
    await work(scope);
  } finally {
    await scope.close();
  }
}

async function tell(scope: Scope, world: World): Promise<void> {
  const look = await step('cnictl serve tells everything that happens, as it happens', () =>
    startLooking(scope, world.fabric),
  );
  show(`look:   ${bold(look.url)}`);
  show(`listen: curl -N '${look.events}'`);
}

/** The story is told, and goes on until a signal. */
let staying = false;

/** The command that opens a shell in which cnictl finds etcd and the API server of the demo. */
function shellFor({ fabric, api }: World): string {
  const settings = Object.entries({ ...fabric.env, KUBECONFIG: api.kubeconfig });
  const words = settings.map(([name, value]) => `${name}=${value}`);
  return `ip netns exec ${fabric.ns.name} env ${words.join(' ')} PATH="${OUR_PLUGINS}:$PATH" bash`;
}

async function stay(world: World, again: SimulatedNode, signal: AbortSignal): Promise<void> {
  chapter('It stays, and pods come and go, until Ctrl-C');
  staying = true;
  show('to look at it from another shell of this machine, as root:');
  show(bold(shellFor(world)));
  show(`then: ${['cnictl map', 'cnictl status', 'cnictl events --follow'].map(bold).join(', ')}`);
  const remove = async (node: SimulatedNode, pod: AddedPod): Promise<void> => {
    await node.delPod(pod);
    await world.api.remove('default', pod.name);
  };
  await keepMoving([world.a, again], (node, name) => addPod(world, node, name), remove, signal);
}

async function story(scope: Scope, signal: AbortSignal): Promise<void> {
  const world = await build(scope);
  await tell(scope, world);
  await addRange(world);
  const pods = await addPods(world);
  await talk(world, pods);
  await withScope((own) => services(world, pods, own));
  await withScope((own) => database(world, pods, own));
  const freed = await crash(world, pods);
  const again = await reuse(scope, world, pods, freed);
  await remove(world, pods);
  if (OPTIONS.keep) await stay(world, again, signal);
}

/** Returns a signal that Ctrl-C and SIGTERM abort: what the demo made is removed then, too. */
function untilStopped(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => controller.abort(new Error(`stopped by ${name}`)));
  return controller.signal;
}

async function main(): Promise<number> {
  const scope = newScope();
  const signal = untilStopped();
  let problem: Error | undefined;
  const work = story(scope, signal);
  const stopped = aborted(signal).then(async () => {
    // While it stays, a signal is its normal end: the pod that is under way is finished.
    if (staying) await work;
    else throw signal.reason;
  });
  try {
    await Promise.race([work, stopped]);
  } catch (error) {
    problem = error instanceof Error ? error : new Error(String(error));
  }
  work.catch(() => undefined);
  try {
    await step('everything that the demo made is removed', async () => {
      await scope.close();
      const left = (await must('ip', ['netns', 'list']))
        .split('\n')
        .filter((name) => name.startsWith(`cn-${process.pid}-`));
      expect(left.length === 0, `namespaces are left: ${left.join(', ')}`);
    });
  } catch (error) {
    problem ??= error instanceof Error ? error : new Error(String(error));
  }
  return end(problem);
}

process.exitCode = await main();
if (recorder && OPTIONS.record !== undefined) {
  const cast = recorder.cast('npm run demo', Date.now());
  writeFileSync(OPTIONS.record, formatCast(cast));
  const drawing = `${OPTIONS.record.replace(/\.cast$/, '')}.svg`;
  writeFileSync(drawing, castToSvg(cast));
  console.log(`recorded: ${OPTIONS.record}, ${drawing}`);
}
