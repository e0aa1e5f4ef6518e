/** Reads what the test needs of the cluster's own objects. Pure. */
import { asArray, asObject, asOptionalText, asText, type Json } from '../../cni/kube/decode.ts';
import { CommandError } from '../context/errors.ts';
import { CONTAINER } from './manifests.ts';
import type { TestNode, Topology } from './plan.ts';

export interface Candidate extends TestNode {
  readonly ready: boolean;
  /** Whether the scheduler gives it pods that tolerate nothing. */
  readonly isOpen: boolean;
  /** Whether an operator took it out (cordon). */
  readonly isCordoned: boolean;
}

const objectAt = (object: Json, field: string): Json => asObject(object[field] ?? {}, field);
const listAt = (object: Json, field: string): readonly Json[] =>
  asArray(object[field] ?? [], field).map((each) => asObject(each, field));

export const nameOf = (object: Json): string => asText(objectAt(object, 'metadata')['name'], 'metadata.name');
export const uidOf = (object: Json): string => asText(objectAt(object, 'metadata')['uid'], 'metadata.uid');

export const labelOf = (object: Json, key: string): string | undefined =>
  asOptionalText(objectAt(objectAt(object, 'metadata'), 'labels')[key], key);

/** Returns when the object was made, in milliseconds since 1970. */
export const createdAt = (object: Json): number =>
  Date.parse(asText(objectAt(object, 'metadata')['creationTimestamp'], 'metadata.creationTimestamp'));

/** Whether somebody deleted the object, and it is not gone yet. */
export const isEnding = (object: Json): boolean =>
  typeof objectAt(object, 'metadata')['deletionTimestamp'] === 'string';

/** Returns the image of the agent: every node has it already. */
export function imageOf(daemonSets: readonly Json[]): string | undefined {
  for (const daemonSet of daemonSets) {
    const spec = objectAt(objectAt(objectAt(daemonSet, 'spec'), 'template'), 'spec');
    const containers = listAt(spec, 'containers');
    const agent = containers.find(({ name }) => name === 'cellnetd') ?? containers[0];
    const image = asOptionalText(agent?.['image'], 'image');
    if (image !== undefined) return image;
  }
  return undefined;
}

export function candidateOf(node: Json): Candidate {
  const [spec, status] = [objectAt(node, 'spec'), objectAt(node, 'status')];
  const isInternal = ({ type }: Json): boolean => type === 'InternalIP';
  return {
    name: nameOf(node),
    addresses: listAt(status, 'addresses')
      .filter(isInternal)
      .map(({ address }) => asText(address, 'address')),
    ready: listAt(status, 'conditions').some(({ type, status: is }) => type === 'Ready' && is === 'True'),
    isOpen: !listAt(spec, 'taints').some(({ effect }) => effect !== 'PreferNoSchedule'),
    isCordoned: spec['unschedulable'] === true,
  };
}

/**
 * Chooses two nodes, or the only one: those that were asked for first, then workers, by name.
 * @throws CommandError
 */
export function chooseNodes(candidates: readonly Candidate[], wanted: readonly string[]): Topology {
  if (wanted.length > 2)
    throw new CommandError(
      `--node is given ${wanted.length} times: the test runs on two nodes`,
      'Name two at most.',
    );
  const usable = candidates.filter(({ ready, isCordoned }) => ready && !isCordoned);
  for (const name of wanted) {
    if (usable.some((each) => each.name === name)) continue;
    const known = candidates.find((each) => each.name === name);
    const why = known === undefined ? 'does not exist' : known.ready ? 'is cordoned' : 'is not Ready';
    throw new CommandError(`--node '${name}': that node ${why}`, 'Look: kubectl get nodes');
  }
  const rank = ({ name, isOpen }: Candidate): number =>
    wanted.includes(name) ? wanted.indexOf(name) - wanted.length : isOpen ? 0 : 1;
  const [a, b] = [...usable].sort((x, y) => rank(x) - rank(y) || (x.name < y.name ? -1 : 1));
  if (a === undefined) throw new CommandError('no node is Ready and schedulable', 'Look: kubectl get nodes');
  return { a, b: b ?? a, isOneNode: b === undefined };
}

export interface PodState {
  readonly name: string;
  /** Whether the test's own container runs, whatever sidecars do. */
  readonly isRunning: boolean;
  /** Whether the test's own container has ended, for good. */
  readonly isOver: boolean;
  /** Whether its image cannot be had. */
  readonly lacksImage: boolean;
  readonly ips: readonly string[];
  /** Why it does not run (yet). */
  readonly reason: string;
}

export function podStateOf(pod: Json): PodState {
  const status = objectAt(pod, 'status');
  const phase = asOptionalText(status['phase'], 'status.phase') ?? 'Pending';
  const ips = listAt(status, 'podIPs').map(({ ip }) => asText(ip, 'ip'));
  const main = listAt(status, 'containerStatuses').find(({ name }) => name === CONTAINER);
  const state = objectAt(main ?? {}, 'state');
  const waitsFor = objectAt(state, 'waiting')['reason'];
  return {
    ...{ name: nameOf(pod), ips, reason: [phase, ...whyOf(status)].join(': ') },
    isRunning: phase === 'Running' && state['running'] !== undefined,
    isOver: phase === 'Succeeded' || phase === 'Failed' || state['terminated'] !== undefined,
    lacksImage: typeof waitsFor === 'string' && NO_IMAGE.has(waitsFor),
  };
}

/** Why a container waits that will not get its image. */
const NO_IMAGE: ReadonlySet<string> = new Set(['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName']);

/** Collects what the API tells of a pod that does not run, the most telling last. */
function whyOf(status: Json): string[] {
  const scheduled = listAt(status, 'conditions').find(
    ({ type, status: is }) => type === 'PodScheduled' && is === 'False',
  );
  const states = listAt(status, 'containerStatuses').map((each) => objectAt(each, 'state'));
  const told = states.flatMap((state) => [objectAt(state, 'waiting'), objectAt(state, 'terminated')]);
  return [status, ...(scheduled ? [scheduled] : []), ...told].flatMap(({ reason, message }) =>
    [reason, message].filter((text): text is string => typeof text === 'string' && text !== ''),
  );
}

/** Returns the addresses that a Service's slices call ready. */
export function readyEndpoints(slices: readonly Json[], service: string): ReadonlySet<string> {
  const own = slices.filter((slice) => labelOf(slice, 'kubernetes.io/service-name') === service);
  const ready = own
    .flatMap((slice) => listAt(slice, 'endpoints'))
    .filter((endpoint) => objectAt(endpoint, 'conditions')['ready'] !== false);
  return new Set(ready.flatMap(({ addresses }) => asArray(addresses, 'addresses').map(String)));
}

/** Returns the cluster addresses of a Service, none for a headless one. */
export function clusterIPsOf(service: Json): string[] {
  const spec = objectAt(service, 'spec');
  return asArray(spec['clusterIPs'] ?? [spec['clusterIP']], 'spec.clusterIPs')
    .filter((each): each is string => typeof each === 'string')
    .filter((address) => address !== '' && address !== 'None');
}

/** Returns the ports of a Service with the NodePorts that it got. */
export const portsOf = (service: Json): { name?: string; port: number; nodePort?: number }[] =>
  listAt(objectAt(service, 'spec'), 'ports').map(({ name, port, nodePort }) => ({
    ...(typeof name === 'string' && { name }),
    port: Number(port),
    ...(typeof nodePort === 'number' && nodePort > 0 && { nodePort }),
  }));
