/** The pods and Services that the test makes. Pure. */
import { PORT } from './ask.ts';

export interface TestNode {
  readonly name: string;
  /** Its addresses of type InternalIP. */
  readonly addresses: readonly string[];
}

/** Where the test's pods run: a and b, which are one node where the cluster has no second one. */
export interface Topology {
  readonly a: TestNode;
  readonly b: TestNode;
  readonly isOneNode: boolean;
}

export interface PodPlan {
  readonly name: string;
  readonly node: string;
  readonly hostNetwork?: boolean;
  readonly listen?: { readonly tcp?: number; readonly udp?: number };
  /** A port of its node that leads to its TCP port. */
  readonly hostPort?: number;
  /** Its condition Ready never comes. */
  readonly neverReady?: boolean;
}

export interface ServicePlan {
  readonly name: string;
  /** The pods that it selects. */
  readonly pods: readonly string[];
  readonly spec?: Readonly<Record<string, unknown>>;
  /** Default: TCP 80 to the servers' TCP port, and UDP 80 to their UDP port. */
  readonly ports?: readonly ServicePortPlan[];
}

export interface ServicePortPlan {
  readonly protocol: 'TCP' | 'UDP';
  readonly targetPort: number;
}

export const SERVERS = { tcp: PORT.tcp, udp: PORT.udp } as const;
/** The port of every Service, and one that none has. */
export const SERVICE_PORT = 80;
export const OTHER_PORT = 81;

/** It is on its node's own network. */
export const HOST_SERVER = 'host-server';

/** Pods that serve until the test ends. */
export function serverPods({ a, b }: Topology): PodPlan[] {
  const server = (name: string, node: TestNode, more: Partial<PodPlan> = {}): PodPlan => ({
    name,
    node: node.name,
    listen: SERVERS,
    ...more,
  });
  return [
    server('server-a', a),
    server('server-b', b),
    server(HOST_SERVER, b, { hostNetwork: true, listen: { tcp: PORT.host } }),
    server('unready', a, { neverReady: true }),
    server('published', a, { hostPort: PORT.published }),
    server('leaver-a', a),
    server('leaver-b', b),
  ];
}

/** Pods that ask, print what came of it, and stay. */
export function clientPods({ a, b, isOneNode }: Topology): PodPlan[] {
  const client = (letter: string, { name: node }: TestNode): PodPlan[] => [
    { name: `client-${letter}`, node, listen: SERVERS },
    { name: `host-client-${letter}`, node, hostNetwork: true },
  ];
  return [...client('a', a), ...(isOneNode ? [] : client('b', b)), { name: 'mover', node: a.name }];
}

/** Settings that only some Services of the test have. */
const TCP = (targetPort: number): ServicePortPlan[] => [{ protocol: 'TCP', targetPort }];
const UDP = (targetPort: number): ServicePortPlan[] => [{ protocol: 'UDP', targetPort }];
/** One of them goes. */
export const LEAVERS = ['leaver-a', 'leaver-b'];
const BOTH = ['server-a', 'server-b'];

export function servicePlans({ isOneNode }: Topology, externalIp: string | undefined): ServicePlan[] {
  const externalIPs = { externalIPs: [externalIp] };
  return [
    { name: 'only-a', pods: ['server-a'] },
    { name: 'only-b', pods: ['server-b'] },
    { name: 'both', pods: [...BOTH, 'unready'] },
    { name: 'sticky', pods: BOTH, spec: { sessionAffinity: 'ClientIP' } },
    { name: 'local', pods: BOTH, spec: { internalTrafficPolicy: 'Local' } },
    { name: 'local-b', pods: ['server-b'], spec: { internalTrafficPolicy: 'Local' } },
    { name: 'early', pods: ['unready'], spec: { publishNotReadyAddresses: true } },
    { name: 'closed', pods: ['server-b'], ports: UDP(PORT.closed) },
    { name: 'empty', pods: [] },
    { name: 'host', pods: ['host-server'], ports: TCP(PORT.host) },
    { name: 'moving', pods: LEAVERS },
    { name: 'nodeport', pods: ['server-a'], spec: { type: 'NodePort' }, ports: TCP(PORT.tcp) },
    {
      ...{ name: 'nodeport-local', pods: ['server-a'], ports: TCP(PORT.tcp) },
      spec: { type: 'NodePort', externalTrafficPolicy: 'Local' },
    },
    ...(isOneNode ? ['a'] : ['a', 'b']).map((letter) => ({
      name: `self-${letter}`,
      pods: [`client-${letter}`],
    })),
    ...(externalIp === undefined
      ? []
      : [
          { name: 'external-1', pods: ['server-a'], spec: externalIPs },
          { name: 'external-2', pods: ['server-b'], spec: externalIPs },
        ]),
  ];
}

/** Returns the plan's servers that its endpoints must have before clients ask. */
export const awaitedServers = ({ pods, spec }: ServicePlan): readonly string[] =>
  pods.filter(
    (name) => !name.startsWith('client-') && (name !== 'unready' || spec?.['publishNotReadyAddresses']),
  );
