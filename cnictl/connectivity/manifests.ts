/** The objects that the test makes, as the API server gets them. Pure. */
import type { NewObject } from '../../cni/kube/writer.ts';
import type { Task } from './ask.ts';
import { SERVERS, SERVICE_PORT, type PodPlan, type ServicePlan } from './plan.ts';
import { POD_SCRIPT } from './pod-script.ts';

export const MANAGED_BY = 'app.kubernetes.io/managed-by';
export const OURS = 'cellnet-connectivity-test';
/** Tells the objects of one run from those of another. */
export const RUN = `${OURS}/run`;
/** On the namespace: after so many seconds its run is over, however it ended. */
export const LASTS = `${OURS}/lasts-seconds`;
/** The name of the test's own container in each pod, as sidecars may stand beside it. */
export const CONTAINER = 'main';

/** What the pods of all nodes have in common. */
export interface PodSettings {
  readonly run: string;
  readonly image: string;
  /** How long the run takes at most. */
  readonly lastsSeconds: number;
  /** When the kubelet ends pods that nobody took away. */
  readonly podsLastSeconds: number;
}

const labelsOf = (run: string): Record<string, string> => ({ [MANAGED_BY]: OURS, [RUN]: run });

/** Pods on the host's network are not allowed in a namespace of another security level. */
export const namespaceObject = (name: string, { run, lastsSeconds }: PodSettings): NewObject => ({
  metadata: {
    name,
    labels: {
      ...labelsOf(run),
      [LASTS]: String(lastsSeconds),
      'pod-security.kubernetes.io/enforce': 'privileged',
    },
  },
});

/** The name of a Service that leads nowhere: it tells that the run is over, and was to be kept. */
export const KEPT = 'test-is-over';

export const keptMark = (run: string): NewObject => ({
  metadata: { name: KEPT, labels: labelsOf(run) },
  spec: { clusterIP: 'None', ports: [{ name: 'none', port: SERVICE_PORT, protocol: 'TCP' }] },
});

const selectorOf = (service: string): string => `${OURS}/${service}`;

export function serviceObject(plan: ServicePlan, run: string): NewObject {
  const { name, spec, ports } = plan;
  const all = ports ?? [
    { protocol: 'TCP', targetPort: SERVERS.tcp },
    { protocol: 'UDP', targetPort: SERVERS.udp },
  ];
  return {
    metadata: { name, labels: labelsOf(run) },
    spec: {
      selector: { [selectorOf(name)]: 'yes' },
      ipFamilyPolicy: 'PreferDualStack',
      ports: all.map(({ protocol, targetPort }) => ({
        name: protocol.toLowerCase(),
        port: SERVICE_PORT,
        protocol,
        targetPort,
      })),
      ...spec,
    },
  };
}

/** Runs as a user without any right: the script needs none. */
const CONTAINER_SECURITY = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};
const NOBODY = 65_534;
const POD_SECURITY = {
  runAsNonRoot: true,
  runAsUser: NOBODY,
  runAsGroup: NOBODY,
  seccompProfile: { type: 'RuntimeDefault' },
};

/** @param services those that select the pod */
export function podObject(
  plan: PodPlan,
  services: readonly ServicePlan[],
  settings: PodSettings,
  tasks?: readonly Task[],
): NewObject {
  const { name, node, hostNetwork = false, neverReady = false } = plan;
  const { run, image, podsLastSeconds } = settings;
  const selected = services.filter(({ pods }) => pods.includes(name));
  const env = {
    NAME: name,
    ...(plan.listen && { LISTEN: JSON.stringify(plan.listen) }),
    ...(tasks && { TASKS: JSON.stringify(tasks) }),
  };
  return {
    metadata: {
      name,
      labels: {
        ...labelsOf(run),
        ...Object.fromEntries(selected.map((each) => [selectorOf(each.name), 'yes'])),
      },
    },
    spec: {
      affinity: onNode(node),
      // As pods of a DaemonSet: the operator chose the node.
      tolerations: [{ operator: 'Exists' }],
      restartPolicy: 'Never',
      activeDeadlineSeconds: podsLastSeconds,
      terminationGracePeriodSeconds: 1,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: POD_SECURITY,
      ...(hostNetwork && { hostNetwork, dnsPolicy: 'ClusterFirstWithHostNet' }),
      ...(neverReady && { readinessGates: [{ conditionType: `${OURS}/never` }] }),
      containers: [
        {
          name: CONTAINER,
          image,
          // That of the agent is there, and its registry may be private.
          imagePullPolicy: 'IfNotPresent',
          command: ['node', '-e', POD_SCRIPT],
          env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
          ports: portsOf(plan),
          resources: { requests: { cpu: '10m', memory: '32Mi' }, limits: { memory: '256Mi' } },
          securityContext: CONTAINER_SECURITY,
        },
      ],
    },
  };
}

/** The scheduler still decides whether the pod fits there. */
const onNode = (node: string): object => ({
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }],
    },
  },
});

/** Only ports that somebody must keep free: those of the node. */
function portsOf({ listen, hostNetwork, hostPort }: PodPlan): object[] {
  if (listen?.tcp === undefined) return [];
  if (hostNetwork) return [{ containerPort: listen.tcp, hostPort: listen.tcp, protocol: 'TCP' }];
  return hostPort === undefined ? [] : [{ containerPort: listen.tcp, hostPort, protocol: 'TCP' }];
}
