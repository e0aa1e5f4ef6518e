/**
 * Which checks there are: the rows of the table of docs/services.md that can be tried in a running
 * cluster. Pure.
 */
import { moveChecks, podChecks } from './bridge-checks.ts';
import { MACHINE, type Checks } from './check.ts';
import type { Client } from './each-address.ts';
import type { Facts } from './facts.ts';
import { fromNodeChecks, hostPortChecks, nodePortChecks } from './node-checks.ts';
import type { Topology } from './plan.ts';
import { skippedOf } from './skipped.ts';

export function checksOf(topology: Topology, facts: Facts): Checks {
  const clients: Client[] = [{ pod: 'client-a', here: 'a', there: 'b' }];
  if (!topology.isOneNode) clients.push({ pod: 'client-b', here: 'b', there: 'a' });
  const everybody = [...clients.flatMap(({ pod }) => [pod, `host-${pod}`]), MACHINE];
  return {
    checks: [
      ...clients.flatMap((client) => podChecks(client, topology, facts)),
      ...moveChecks(facts),
      ...clients.flatMap((client) => fromNodeChecks(client, topology, facts)),
      ...everybody.flatMap((client) => hostPortChecks(client, topology)),
      ...everybody.flatMap((client) => nodePortChecks(client, topology, facts)),
    ],
    skipped: skippedOf(topology, facts),
  };
}
