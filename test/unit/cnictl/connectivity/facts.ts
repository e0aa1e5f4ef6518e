import type { Facts } from '../../../../cnictl/connectivity/facts.ts';
import { servicePlans, type Topology } from '../../../../cnictl/connectivity/plan.ts';

export const TWO: Topology = {
  a: { name: 'n1', addresses: ['192.168.0.1'] },
  b: { name: 'n2', addresses: ['192.168.0.2'] },
  isOneNode: false,
};
export const SETTINGS = { run: 'r', image: 'cellnet:1', lastsSeconds: 900, podsLastSeconds: 1_800 };
export const ONE: Topology = { a: TWO.a, b: TWO.a, isOneNode: true };

/** A healthy cluster of one family, whose Services have addresses by their order. */
export function factsOf(topology: Topology, changes: Partial<Facts> = {}): Facts {
  const plans = servicePlans(topology, changes.externalIp);
  const services = plans.map(({ name }, i) => {
    const nodePort = name.startsWith('nodeport') ? { nodePort: 30_000 + i } : {};
    return [name, { addresses: [`10.96.0.${i + 1}`], ...nodePort }] as const;
  });
  return {
    namespace: 'test',
    services: new Map(services),
    broken: new Map(),
    families: [4],
    apiServer: { address: '10.96.0.100', port: 443 },
    dns: { address: '10.96.0.110', port: 53 },
    hasKubeProxy: true,
    ...changes,
  };
}
