/** Checks of one Service at each address that the cluster gave it. Pure. */
import type { Ask } from './ask.ts';
import type { Check, Worker } from './check.ts';
import { atPort, familyOf, type Facts } from './facts.ts';
import { SERVICE_PORT } from './plan.ts';

/** A client pod. */
export interface Client {
  readonly pod: string;
  /** The letters of its own node and of the other. */
  readonly here: 'a' | 'b';
  readonly there: 'a' | 'b';
}

/** Returns a check for each address of the Service that the clients can reach. */
export function atEach(
  { services }: Facts,
  service: string,
  check: Omit<Check, 'ask' | 'to'>,
  ask: (address: string) => Ask,
): Check[] {
  return (services.get(service)?.addresses ?? []).map((address) => {
    const asked = ask(address);
    return {
      ...check,
      name: familyOf(address) === 6 ? `${check.name}, IPv6` : check.name,
      to: `${service}, ${atPort(address, asked.port)}`,
      ask: asked,
    };
  });
}

export const tcp = (address: string): Ask => ({ kind: 'tcp', address, port: SERVICE_PORT });

/** The API server and cluster DNS. */
export function systemChecks(client: string, { apiServer, dns }: Facts, by: Worker): Check[] {
  const row = { from: client, needs: [], by };
  const checks: Check[] = [];
  if ('address' in apiServer)
    checks.push({
      ...{
        ...row,
        name: 'the API server',
        to: `default/kubernetes, ${atPort(apiServer.address, apiServer.port)}`,
      },
      ...{ ask: { kind: 'open', ...apiServer }, expected: { kind: 'connection' } },
    });
  if ('address' in dns && 'address' in apiServer && familyOf(apiServer.address) === 4)
    checks.push({
      ...{ ...row, name: 'cluster DNS', to: `kube-system/kube-dns, ${atPort(dns.address, dns.port)}` },
      ask: { kind: 'dns', ...dns, service: 'kubernetes.default' },
      expected: { kind: 'address', address: apiServer.address },
    });
  return checks;
}
