/** Checks of what kube-proxy and portmap do: Services from nodes, hostPorts, NodePorts. Pure. */
import { PORT } from './ask.ts';
import type { Check, Expected } from './check.ts';
import { atEach, systemChecks, tcp, type Client } from './each-address.ts';
import { atPort, familyOf, type Facts, type Family } from './facts.ts';
import type { TestNode, Topology } from './plan.ts';

export const nodeFamilies = ({ addresses }: TestNode): Family[] => [...new Set(addresses.map(familyOf))];

/** Returns the node's address for hostPorts and NodePorts, if it has one of IPv4. */
export const ipv4Of = ({ addresses }: TestNode): string[] =>
  addresses.filter((address) => familyOf(address) === 4).slice(0, 1);

/** The client on the node that has the hostPort, and the endpoint of the NodePorts. */
const OWN_CLIENT = 'host-client-a';

const isPod = (client: string): boolean => client.startsWith('client-');

/**
 * portmap masquerades connections of the published pod's own subnet and of the node. Others need
 * the key for the way back.
 */
export function hostPortChecks(client: string, { a }: Topology): Check[] {
  return ipv4Of(a).map((address) => ({
    ...{ name: 'hostPort', from: client, to: `published, ${atPort(address, PORT.published)}` },
    ...{ needs: ['published'], by: 'portmap' },
    ask: { kind: 'tcp', address, port: PORT.published },
    expected: { kind: 'answer', by: 'published', source: 'any' },
    needsKey: !isPod(client) && client !== OWN_CLIENT,
    needsKeyBeyondSubnet: isPod(client),
  }));
}

/** What processes of a node, and pods on its network, get from kube-proxy. */
export function fromNodeChecks(client: Client, topology: Topology, facts: Facts): Check[] {
  if (!facts.hasKubeProxy) return [];
  const { here, there } = client;
  const pod = `host-${client.pod}`;
  const families = nodeFamilies(topology[here]);
  const toService = (letter: 'a' | 'b'): Check[] => {
    const server = `server-${letter}`;
    const expected: Expected = { kind: 'answer', by: server, source: 'any' };
    const name = `from the node, an endpoint on ${letter === here ? 'its node' : 'another node'}`;
    const row = { name, from: pod, needs: [server], expected, by: 'kube-proxy' } as const;
    return atEach(facts, `only-${letter}`, row, tcp);
  };
  const checks = [
    ...toService(here),
    ...(topology.isOneNode ? [] : toService(there)),
    ...systemChecks(pod, facts, 'kube-proxy'),
  ];
  return checks.filter(({ ask }) => families.includes(familyOf(ask.address)));
}

/**
 * NodePorts: by the policy `Cluster` at a node that need not have the endpoint, by `Local` at the
 * node that has it.
 */
export function nodePortChecks(
  client: string,
  { a, b }: Topology,
  { services, hasKubeProxy }: Facts,
): Check[] {
  if (!hasKubeProxy) return [];
  const at = (name: string, policy: string, node: TestNode): Check[] => {
    const port = services.get(name)?.nodePort;
    if (port === undefined) return [];
    return ipv4Of(node).map((address) => ({
      ...{ name: `NodePort, externalTrafficPolicy ${policy}`, from: client, needs: ['server-a'] },
      ...{ to: `${name}, ${atPort(address, port)}`, by: 'node-port' },
      ask: { kind: 'tcp', address, port },
      expected: { kind: 'answer', by: 'server-a', source: 'any' },
      needsKey: policy === 'Local' && client !== OWN_CLIENT,
    }));
  };
  return [...at('nodeport', 'Cluster', b), ...at('nodeport-local', 'Local', a)];
}
