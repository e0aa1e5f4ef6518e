/** What is not tried in this cluster, and why. Pure. */
import type { Skipped } from './check.ts';
import { familyOf, type Facts, type Family } from './facts.ts';
import { nodeFamilies } from './node-checks.ts';
import type { Topology } from './plan.ts';

const TWO_NODES = 'there is only one node to test on';

export const skippedOf = (topology: Topology, facts: Facts): Skipped[] => [
  ...(topology.isOneNode ? [skip('an endpoint on another node', TWO_NODES)] : []),
  ...(topology.isOneNode ? [skip('internalTrafficPolicy Local', TWO_NODES)] : []),
  ...([4, 6] as const).flatMap((family) => skippedFamily(family, topology, facts)),
  ...skippedSystem(facts),
  ...skippedExternal(facts),
  ...(facts.hasKubeProxy
    ? []
    : [skip('Services from the node, and NodePorts', 'kube-proxy is not here, by --no-kube-proxy')]),
];

const skip = (name: string, reason: string): Skipped => ({ name, reason });

function skippedFamily(family: Family, { a }: Topology, { families, services }: Facts): Skipped[] {
  const name = `IPv${family}`;
  const has = (addresses: readonly string[] | undefined): boolean =>
    addresses?.some((address) => familyOf(address) === family) === true;
  if (families.length === 0)
    return family === 4 ? [skip('Services by family', 'no server started on the network of pods')] : [];
  if (!families.includes(family)) return [skip(`Services over ${name}`, `pods have no ${name} address`)];
  if (!has(services.get('only-a')?.addresses))
    return [skip(`Services over ${name}`, `the cluster gives Services no ${name} address`)];
  if (nodeFamilies(a).includes(family)) return [];
  return [skip(`from the node over ${name}`, `node ${a.name} tells no ${name} address of its own`)];
}

function skippedSystem({ apiServer, dns }: Facts): Skipped[] {
  const unknown = 'reason' in apiServer ? [skip('the API server', apiServer.reason)] : [];
  if ('reason' in dns) return [...unknown, skip('cluster DNS', dns.reason)];
  if ('address' in apiServer && familyOf(apiServer.address) === 4) return unknown;
  return [...unknown, skip('cluster DNS', 'it would be asked for an IPv4 address of default/kubernetes')];
}

function skippedExternal({ externalIp, services }: Facts): Skipped[] {
  const name = 'external addresses';
  if (externalIp === undefined)
    return [skip(name, 'an address that leads nowhere else is needed: --external-ip ADDRESS')];
  const { problem } = services.get('external-1') ?? {};
  return problem === undefined ? [] : [skip(name, problem)];
}
