/** Checks of what the bridges do for pods. Pure. */
import type { Ask } from './ask.ts';
import type { Check, Expected } from './check.ts';
import { atEach, systemChecks, tcp, type Client } from './each-address.ts';
import { atPort, familyOf, type Facts } from './facts.ts';
import { LEAVERS, OTHER_PORT, SERVICE_PORT, type Topology } from './plan.ts';

/** A pod that reaches itself through a Service is seen at these (docs/dataplane.md). */
const ITSELF = { 4: '169.254.206.17', 6: 'fd00:ce11::ce11' } as const;
const MANY = 40;
const FEW = 20;
/** More than one packet at any usual MTU below that of jumbo frames. */
const LARGE_BYTES = 4_000;

const udp = (address: string): Ask => ({ kind: 'udp', address, port: SERVICE_PORT });
const many =
  (count: number, over: 'tcp' | 'udp' = 'tcp') =>
  (address: string): Ask => ({ kind: 'many', over, address, port: SERVICE_PORT, count });
const PROTOCOLS = [
  ['TCP', tcp],
  ['UDP', udp],
] as const;

const from = (by: string): Expected => ({ kind: 'answer', by, source: 'own' });
const REFUSAL: Expected = { kind: 'refusal' };

/** What pods get from their bridge. */
export function podChecks(client: Client, topology: Topology, facts: Facts): Check[] {
  const { pod, here, there } = client;
  const [near, far] = [`server-${here}`, `server-${there}`];
  const { isOneNode } = topology;
  const row = (name: string, needs: string[], expected: Expected): Omit<Check, 'ask' | 'to'> => ({
    ...{ name, from: pod, needs, expected, by: 'bridge' },
  });
  const plain = (service: string, name: string, server: string): Check[] =>
    PROTOCOLS.flatMap(([protocol, ask]) =>
      atEach(facts, service, row(`${name}, ${protocol}`, [server], from(server)), ask),
    );
  const large = (address: string): Ask => ({
    kind: 'large',
    address,
    port: SERVICE_PORT,
    bytes: LARGE_BYTES,
  });
  const beyond = (address: string): Ask => ({ kind: 'tcp', address, port: OTHER_PORT });
  const both = [near, far];
  return [
    ...plain(`only-${here}`, 'an endpoint on its node', near),
    ...(isOneNode ? [] : plain(`only-${there}`, 'an endpoint on another node', far)),
    ...atEach(
      facts,
      'host',
      row("an endpoint on a host's network", ['host-server'], from('host-server')),
      tcp,
    ),
    ...selfChecks(client, facts),
    ...PROTOCOLS.flatMap(([protocol]) =>
      atEach(
        facts,
        'both',
        row(`two endpoints and one that is not ready: both get connections, ${protocol}`, both, {
          kind: 'each',
          of: both,
        }),
        many(MANY, protocol === 'TCP' ? 'tcp' : 'udp'),
      ),
    ),
    ...atEach(
      facts,
      'early',
      row('an endpoint that is not ready, published', ['unready'], from('unready')),
      tcp,
    ),
    ...atEach(
      facts,
      'sticky',
      row('session affinity: one endpoint', both, { kind: 'one', of: both }),
      many(FEW),
    ),
    ...(isOneNode ? [] : localChecks(client, facts, row)),
    ...PROTOCOLS.flatMap(([protocol, ask]) =>
      atEach(facts, 'empty', row(`no endpoint: refused at once, ${protocol}`, [], REFUSAL), ask),
    ),
    ...atEach(facts, `only-${here}`, row('another port: refused at once', [], REFUSAL), beyond),
    ...atEach(
      facts,
      'closed',
      row('a port that the UDP endpoint does not have: refused at once', ['server-b'], REFUSAL),
      udp,
    ),
    // Fragments over IPv6 are for Open vSwitch's kernel datapath alone (docs/services.md).
    ...atEach(facts, `only-${there}`, row(`UDP of ${LARGE_BYTES} bytes`, [far], from(far)), large).filter(
      ({ ask }) => familyOf(ask.address) === 4,
    ),
    ...systemChecks(pod, facts, 'bridge'),
    ...externalChecks(pod, facts),
  ];
}

function selfChecks({ pod, here }: Client, facts: Facts): Check[] {
  const row = { name: 'a pod reaches itself', from: pod, needs: [], by: 'bridge' } as const;
  return atEach(facts, `self-${here}`, { ...row, expected: REFUSAL }, tcp).map((check) => ({
    ...check,
    expected: {
      kind: 'answer',
      by: pod,
      source: { address: ITSELF[familyOf(check.ask.address)] },
    },
  }));
}

function localChecks(
  { here }: Client,
  facts: Facts,
  row: (name: string, needs: string[], expected: Expected) => Omit<Check, 'ask' | 'to'>,
): Check[] {
  const near = `server-${here}`;
  const own = row('internalTrafficPolicy Local: that of its node', [near], { kind: 'each', of: [near] });
  const none = row('internalTrafficPolicy Local, none on its node: refused', [], REFUSAL);
  return [
    ...atEach(facts, 'local', own, many(FEW)),
    ...(here === 'a' ? atEach(facts, 'local-b', none, tcp) : []),
  ];
}

function externalChecks(client: string, { externalIp: address, services }: Facts): Check[] {
  if (address === undefined || services.get('external-1')?.problem !== undefined) return [];
  const name = 'an external address that two Services claim: the first by name';
  return [
    {
      ...{ name, from: client, to: `external-1, ${atPort(address, SERVICE_PORT)}`, needs: ['server-a'] },
      ...{ ask: tcp(address), expected: from('server-a'), by: 'bridge' },
    },
  ];
}

export function moveChecks(facts: Facts): Check[] {
  const row = {
    name: 'an endpoint goes: open TCP connections to others stay, UDP moves',
    from: 'mover',
    needs: LEAVERS,
    expected: { kind: 'moved' },
    by: 'bridge',
  } as const;
  const ask = (address: string): Ask => ({ kind: 'move', address, port: SERVICE_PORT });
  // The endpoint can go only once.
  return atEach(facts, 'moving', row, ask).slice(0, 1);
}
