/** The test from its namespace to its rows. */
import { KubeError } from '../../cni/kube/errors.ts';
import type { Json } from '../../cni/kube/decode.ts';
import { SERVICE } from '../../cni/kube/object-types.ts';
import type { KubeWriter } from '../../cni/kube/writer.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { Outcome } from './ask.ts';
import { askAll } from './ask-all.ts';
import { checksOf } from './checks.ts';
import { familyOf, type Facts, type Family, type ServiceFacts, type Target, type Unknown } from './facts.ts';
import { clusterIPsOf, portsOf, readyEndpoints, type PodState } from './objects.ts';
import { ipv4Of } from './node-checks.ts';
import {
  awaitedServers,
  clientPods,
  HOST_SERVER,
  serverPods,
  servicePlans,
  type PodPlan,
  type ServicePlan,
  type Topology,
} from './plan.ts';
import { parseLog, rowOf, rowsOfNothing, type Row } from './results.ts';
import type { Stage, StageOptions } from './stage.ts';
import { waitFor, type Waiting } from './waiting.ts';

export interface RunOptions extends StageOptions {
  readonly topology: Topology;
  readonly externalIp: string | undefined;
  readonly hasKubeProxy: boolean;
  readonly hasKey: boolean;
  readonly dial: (address: string, port: number) => Promise<Outcome>;
}

export interface Result {
  readonly rows: readonly Row[];
  readonly families: readonly Family[];
}

/** @param stage whose namespace is open */
export async function runChecks(kube: KubeWriter, stage: Stage, options: RunOptions): Promise<Result> {
  const { topology, waiting, namespace } = options;
  const plans = servicePlans(topology, options.externalIp);
  const made = await addServices(stage, plans);
  const servers = serverPods(topology);
  for (const pod of servers) await stage.addPod(pod, plans);
  const started = await waitForServers(stage, servers, waiting);
  await waitForEndpoints(stage, plans, started, waiting);
  const facts = await factsOf(kube, { options, plans, made, started });
  const { checks, skipped } = checksOf(topology, facts);
  const clients = clientPods(topology);
  const asking = { checks, clients, plans, waiting, dial: options.dial };
  const nodeAddress = facts.broken.has(HOST_SERVER) ? undefined : ipv4Of(topology.b)[0];
  const answers = await askAll(stage, { ...asking, nodeAddress });
  const known = {
    namespace,
    unread: answers.unread,
    machineIsApart: answers.machineIsApart,
    subnets: await subnetsOf(stage, 'published'),
    pods: [...servers, ...clients],
    addresses: new Map([...started.pods, ...answers.pods].map(([name, { ips }]) => [name, ips])),
    broken: new Map([...facts.broken, ...answers.broken]),
    hasKey: options.hasKey,
  };
  const rows = checks.map((check, i) => rowOf(check, answers.outcomes.get(i), known));
  return {
    rows: [...rows, ...rowsOfNothing(facts), ...skipped.map((each): Row => ({ result: 'skipped', ...each }))],
    families: facts.families,
  };
}

/** Returns the subnets of a pod's own addresses; none where nobody can read them. */
async function subnetsOf(stage: Stage, pod: string): Promise<readonly string[]> {
  try {
    return parseLog(await stage.log(pod)).subnets;
  } catch (error) {
    if (error instanceof KubeError) return [];
    throw error;
  }
}

type Made = ReadonlyMap<string, Json | { readonly problem: string }>;

/** An external address may be forbidden in the cluster; all else must be possible. */
async function addServices(stage: Stage, plans: readonly ServicePlan[]): Promise<Made> {
  const made = new Map<string, Json | { readonly problem: string }>();
  for (const plan of plans) {
    try {
      made.set(plan.name, await stage.addService(plan));
    } catch (error) {
      if (!(error instanceof KubeError) || !plan.name.startsWith('external-')) throw error;
      made.set(plan.name, { problem: error.message });
    }
  }
  return made;
}

interface Started {
  readonly pods: ReadonlyMap<string, PodState>;
  /** Why a server does not run, by its name. */
  readonly broken: ReadonlyMap<string, string>;
}

async function waitForServers(stage: Stage, servers: readonly PodPlan[], waiting: Waiting): Promise<Started> {
  let pods: ReadonlyMap<string, PodState> = new Map();
  const isStarted = ({ name }: PodPlan): boolean =>
    pods.get(name)?.isRunning === true && pods.get(name)?.ips.length !== 0;
  const isOver = ({ name }: PodPlan): boolean => pods.get(name)?.isOver === true;
  await waitFor(waiting, async () => {
    pods = await stage.pods();
    const left = servers.filter((each) => !isStarted(each) && !isOver(each));
    // Nobody waits for an image that does not come.
    const done = left.every(({ name }) => pods.get(name)?.lacksImage);
    return { done, told: `pods start: ${left.map(({ name }) => name).join(', ')}` };
  });
  const broken = servers
    .filter((each) => !isStarted(each))
    .map(({ name }) => [name, pods.get(name)?.reason ?? 'it is not there'] as const);
  return { pods, broken: new Map(broken) };
}

/** An endpoint that does not come shows in the checks that need it. */
async function waitForEndpoints(
  stage: Stage,
  plans: readonly ServicePlan[],
  { pods, broken }: Started,
  waiting: Waiting,
): Promise<void> {
  await waitFor(waiting, async () => {
    const slices = await stage.slices();
    const left = plans.filter((plan) => {
      const ready = readyEndpoints(slices, plan.name);
      const awaited = awaitedServers(plan).filter((name) => !broken.has(name));
      return awaited.some((name) => !pods.get(name)?.ips.some((ip) => ready.has(ip)));
    });
    return {
      done: left.length === 0,
      told: `Services get endpoints: ${left.map(({ name }) => name).join(', ')}`,
    };
  });
}

interface Gathered {
  readonly options: RunOptions;
  readonly plans: readonly ServicePlan[];
  readonly made: Made;
  readonly started: Started;
}

async function factsOf(kube: KubeWriter, { options, plans, made, started }: Gathered): Promise<Facts> {
  const { namespace, topology, externalIp, hasKubeProxy } = options;
  const families = familiesOfAll(serverPods(topology), started);
  return {
    namespace,
    services: new Map(plans.map((plan) => [plan.name, serviceFacts(plan, made, started, families)])),
    broken: started.broken,
    families,
    apiServer: await targetOf(kube, 'default', 'kubernetes', 'https'),
    dns: await targetOf(kube, 'kube-system', 'kube-dns', 'dns'),
    ...(externalIp !== undefined && { externalIp }),
    hasKubeProxy,
  };
}

const familiesOf = (pod: PodState | undefined): Family[] => [...new Set(pod?.ips.map(familyOf) ?? [])];

/** By any server on the pods' network: one alone may not start. */
const familiesOfAll = (servers: readonly PodPlan[], { pods, broken }: Started): Family[] => [
  ...new Set(
    servers
      .filter(({ name, hostNetwork }) => hostNetwork !== true && !broken.has(name))
      .flatMap(({ name }) => familiesOf(pods.get(name))),
  ),
];

/** Leaves out the addresses of a family that an endpoint lacks. */
function serviceFacts(
  plan: ServicePlan,
  made: Made,
  { pods, broken }: Started,
  families: readonly Family[],
): ServiceFacts {
  const service = made.get(plan.name);
  if (service === undefined || typeof service['problem'] === 'string')
    return { addresses: [], problem: String(service?.['problem']) };
  const servers = plan.pods.filter((name) => pods.has(name) && !broken.has(name));
  const own = servers.map((name) => familiesOf(pods.get(name)));
  const common = families.filter((family) => own.every((each) => each.includes(family)));
  const nodePort = portsOf(service as Json).find((port) => port.nodePort !== undefined)?.nodePort;
  return {
    addresses: clusterIPsOf(service as Json).filter(
      (address) => families.length === 0 || common.includes(familyOf(address)),
    ),
    ...(nodePort !== undefined && { nodePort }),
  };
}

/** Returns the first address of a Service of the cluster, and its port of that name. */
async function targetOf(
  kube: KubeWriter,
  namespace: string,
  name: string,
  portName: string,
): Promise<Target | Unknown> {
  try {
    const service = await kube.get(SERVICE, { namespace, name });
    if (service === undefined) return { reason: `there is no Service ${namespace}/${name}` };
    const [address] = clusterIPsOf(service);
    const ports = portsOf(service);
    const { port } = ports.find((each) => each.name === portName) ?? ports[0] ?? {};
    if (address === undefined || port === undefined)
      return { reason: `the Service ${namespace}/${name} has no cluster address` };
    return { address, port };
  } catch (error) {
    if (error instanceof KubeError && error.code === 'forbidden') return { reason: messageOf(error) };
    throw error;
  }
}
