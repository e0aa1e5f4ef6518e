/**
 * Makes objects as a Kubernetes API server writes them (core/v1), with the fields that cellnet
 * reads.
 */
import { randomUUID } from 'node:crypto';

export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid: string;
  creationTimestamp: string;
  resourceVersion?: string;
  deletionTimestamp?: string;
  annotations?: Record<string, string>;
  labels?: Record<string, string>;
  [more: string]: unknown;
}

export interface KubeObject {
  kind: string;
  apiVersion: 'v1' | 'discovery.k8s.io/v1' | 'apps/v1';
  metadata: ObjectMeta;
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
  /** Of an EndpointSlice, which has no spec. */
  addressType?: string;
  ports?: unknown;
  endpoints?: unknown;
}

export interface PodOptions {
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
  /** Absent when the pod is not scheduled yet. */
  readonly node?: string;
  readonly ip?: string;
  /** All addresses of a dual-stack pod; the first is `status.podIP`. */
  readonly ips?: readonly string[];
  readonly phase?: string;
  /** The state of its container. Default: as the phase tells. */
  readonly container?: ContainerState;
  readonly hostNetwork?: boolean;
  readonly createdAt?: string;
  readonly deletionTimestamp?: string;
  /** Makes the pod the mirror of a static pod with this UID. */
  readonly configHash?: string;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
}

export const CREATED = '2026-01-31T12:00:00Z';

export type ContainerState = 'waiting' | 'running' | 'terminated';

const STATES: Readonly<Record<ContainerState, object>> = {
  waiting: { waiting: { reason: 'ContainerCreating' } },
  running: { running: { startedAt: CREATED } },
  terminated: { terminated: { exitCode: 0, reason: 'Completed', startedAt: CREATED, finishedAt: CREATED } },
};

const stateIn = (phase: string): ContainerState =>
  phase === 'Running' ? 'running' : phase === 'Pending' ? 'waiting' : 'terminated';

/** Returns `status.containerStatuses` of a pod with one container. */
export const containerStatuses = (phase: string, state: ContainerState = stateIn(phase)): object[] => [
  {
    name: 'main',
    image: 'registry.example/app:1',
    imageID: '',
    ready: state === 'running',
    restartCount: 0,
    started: state === 'running',
    lastState: {},
    state: STATES[state],
  },
];

export function pod(options: PodOptions): KubeObject {
  const { namespace = 'default', name, uid = randomUUID(), node, hostNetwork } = options;
  const ips = options.ips ?? (options.ip === undefined ? [] : [options.ip]);
  const phase = options.phase ?? (node === undefined ? 'Pending' : 'Running');
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      name,
      namespace,
      uid,
      creationTimestamp: options.createdAt ?? CREATED,
      ...(options.deletionTimestamp === undefined ? {} : { deletionTimestamp: options.deletionTimestamp }),
      ...(options.labels === undefined ? {} : { labels: options.labels }),
      ...annotationsOf(options),
    },
    spec: {
      containers: [{ name: 'main', image: 'registry.example/app:1', resources: {} }],
      ...(node === undefined ? {} : { nodeName: node }),
      ...(hostNetwork === true ? { hostNetwork: true } : {}),
    },
    status: {
      phase,
      // The kubelet writes it. A pod that is not scheduled has none.
      ...(node === undefined ? {} : { containerStatuses: containerStatuses(phase, options.container) }),
      ...(ips.length === 0 ? {} : { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
    },
  };
}

function annotationsOf({ annotations, configHash }: PodOptions): { annotations?: Record<string, string> } {
  if (annotations === undefined && configHash === undefined) return {};
  return { annotations: { ...annotations, ...(configHash !== undefined && mirrorAnnotations(configHash)) } };
}

const mirrorAnnotations = (hash: string): Record<string, string> => ({
  'kubernetes.io/config.hash': hash,
  'kubernetes.io/config.mirror': hash,
  'kubernetes.io/config.seen': CREATED,
  'kubernetes.io/config.source': 'file',
});

/**
 * Makes the mirror of a static pod. Its name ends in the node's name, and CNI received `configHash`
 * as its UID.
 */
export function staticPod(
  options: PodOptions & { readonly node: string; readonly configHash: string },
): KubeObject {
  return pod({ namespace: 'kube-system', ...options, name: `${options.name}-${options.node}` });
}

/** Makes a pod in the node's own network: its address is the node's. */
export function hostNetworkPod(options: PodOptions & { readonly node: string }): KubeObject {
  return pod({ ...options, hostNetwork: true });
}

export function node(options: {
  readonly name: string;
  readonly uid?: string;
  readonly ready?: boolean;
  readonly podCIDRs?: readonly string[];
  readonly labels?: Record<string, string>;
}): KubeObject {
  const { name, uid = randomUUID(), ready = true, podCIDRs, labels } = options;
  return {
    kind: 'Node',
    apiVersion: 'v1',
    metadata: { name, uid, creationTimestamp: CREATED, ...(labels && { labels }) },
    // As kube-controller-manager assigns them with --allocate-node-cidrs: both fields, or neither.
    spec: podCIDRs === undefined ? {} : { podCIDR: podCIDRs[0], podCIDRs },
    status: {
      conditions: [
        { type: 'MemoryPressure', status: 'False' },
        { type: 'Ready', status: ready ? 'True' : 'Unknown' },
      ],
    },
  };
}

export interface StatefulSetOptions {
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
  /** Default: 1, as the API server's */
  readonly replicas?: number;
  /** `spec.ordinals.start`. Absent: as before Kubernetes 1.27, and where nobody set it */
  readonly start?: number;
  readonly deletionTimestamp?: string;
}

/** Makes a StatefulSet (apps/v1) as the API server completes it. */
export function statefulSet(options: StatefulSetOptions): KubeObject {
  const { namespace = 'default', name, uid = randomUUID(), replicas = 1, start, deletionTimestamp } = options;
  const labels = { app: name };
  const containers = [{ name: 'main', image: 'registry.example/app:1', resources: {} }];
  return {
    kind: 'StatefulSet',
    apiVersion: 'apps/v1',
    metadata: {
      ...{ name, namespace, uid, creationTimestamp: CREATED, generation: 1 },
      ...(deletionTimestamp !== undefined && { deletionTimestamp, finalizers: ['foregroundDeletion'] }),
    },
    spec: {
      replicas,
      ...(start !== undefined && { ordinals: { start } }),
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers } },
      serviceName: name,
      podManagementPolicy: 'OrderedReady',
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
    },
    status: { observedGeneration: 1, replicas },
  };
}

export function namespace(name: string, uid: string = randomUUID()): KubeObject {
  return {
    kind: 'Namespace',
    apiVersion: 'v1',
    metadata: { name, uid, creationTimestamp: CREATED },
    spec: { finalizers: ['kubernetes'] },
    status: { phase: 'Active' },
  };
}

/** Makes a meta/v1 Status. */
export function status(
  code: number,
  reason: string,
  message: string,
  more: { readonly details?: Record<string, unknown>; readonly metadata?: Record<string, unknown> } = {},
): Record<string, unknown> {
  const { details, metadata = {} } = more;
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata,
    status: 'Failure',
    message,
    reason,
    ...(details === undefined ? {} : { details }),
    code,
  };
}
