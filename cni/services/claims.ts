import {
  familyName,
  formatAddress,
  parseAddressInSubnet,
  subnetOf,
  type Address,
  type Cidr,
  type Family,
} from '../../ipam/model/address.ts';
import { shorten } from '../../ipam/records/decode.ts';
import type { KubeService } from '../kube/service.ts';
import { addressIn, whyNoAddress, whyNoPort, type AddressRules } from './forbidden.ts';
import { FRONTEND_KINDS, frontendKey, protocolNumber, type Frontend, type FrontendKind } from './frontend.ts';
import { bounded, type Refusal } from './refusal.ts';

type ServicePort = KubeService['ports'][number];

/** A virtual address with its port that a Service asks for. */
export interface Claim extends Omit<Frontend, 'service' | 'endpoints' | 'affinitySeconds'> {
  readonly key: string;
}

export interface Claims {
  /** Each key once. Cluster addresses come first. */
  readonly claims: readonly Claim[];
  readonly refusals: readonly Refusal[];
}

/** Most addresses with their ports of one Service, so that one alone cannot fill the bridge. */
const MOST_CLAIMS = 4_096;

export const NO_CLAIMS: Claims = { claims: [], refusals: [] };

/** Returns why nobody connects to the Service by a virtual address; undefined if somebody may. */
export function whyNotServed(service: KubeService): string | undefined {
  if (service.type === 'ExternalName') return 'is a name for another one (ExternalName)';
  if (service.proxyName !== undefined) return `belongs to the proxy ${shorten(service.proxyName)}`;
  if (service.clusterIPs.length === 0) return 'has no cluster IP (headless)';
  return undefined;
}

/**
 * Returns what a Service asks for and may have. One wrong value takes nothing else away.
 * @param name `namespace/name`
 */
export function claimsOf(name: string, service: KubeService, rules: AddressRules): Claims {
  if (whyNotServed(service) !== undefined) return NO_CLAIMS;
  const refusals: Refusal[] = [];
  const refuse = (what: string, reason: string): void => {
    refusals.push({ service: name, what, reason });
  };
  const ports = usablePorts(service, refuse);
  const addresses = usableAddresses(service, rules, refuse);
  const ranges = sourceRanges(service, refuse);
  const claims: Claim[] = [];
  for (const { address, kind } of addresses) {
    for (const { name: portName, protocol, port } of ports) {
      if (claims.length === MOST_CLAIMS) {
        refuse(`what is more than ${MOST_CLAIMS} addresses and ports`, 'is too much for one Service');
        return { claims, refusals: bounded(refusals) };
      }
      const place = { protocol: protocolNumber(protocol), address, port };
      const range = kind === 'load-balancer' ? ranges(address.family) : undefined;
      claims.push({ key: frontendKey(place), portName, kind, ...place, sourceRanges: range });
    }
  }
  return { claims, refusals: bounded(refusals) };
}

type Refuse = (what: string, reason: string) => void;

/** A later port with the number of another one is refused. */
function usablePorts(service: KubeService, refuse: Refuse): ServicePort[] {
  const taken = new Map<string, ServicePort>();
  for (const port of service.ports) {
    const key = `${port.protocol} ${port.port}`;
    const first = taken.get(key);
    const reason = whyNoPort(port.port) ?? (first && `is the number of port ${shorten(first.name)} too`);
    if (reason === undefined) taken.set(key, port);
    else refuse(`the number ${port.port} of port ${shorten(port.name)}`, reason);
  }
  return [...taken.values()];
}

const NAMES = {
  cluster: 'cluster IP',
  'load-balancer': 'load balancer IP',
  external: 'external IP',
} as const;

/** Names a virtual address in a refusal. */
export const nameOf = (kind: FrontendKind, text: string): string => `the ${NAMES[kind]} ${text}`;

interface VirtualAddress {
  readonly kind: FrontendKind;
  readonly address: Address;
}

/** An address that a Service has for two reasons counts by the first. */
function usableAddresses(service: KubeService, rules: AddressRules, refuse: Refuse): VirtualAddress[] {
  const families = new Set(service.clusterIPs.map((text) => addressIn(text)?.family));
  const usable = new Map<string, VirtualAddress>();
  for (const kind of FRONTEND_KINDS) {
    const rule = kind === 'cluster' ? rules.cluster : rules.others;
    for (const text of textsOf(kind, service)) {
      const address = addressIn(text);
      if (address === undefined) {
        refuse(nameOf(kind, shorten(text)), whyNoAddress(text));
        continue;
      }
      const plain = formatAddress(address);
      const reason = rule(address) ?? whyWrongFamily(address, families);
      if (reason !== undefined) refuse(nameOf(kind, plain), reason);
      else if (!usable.has(plain)) usable.set(plain, { kind, address });
    }
  }
  return [...usable.values()];
}

/** Endpoints have only the families of the cluster addresses. kube-proxy skips others, too. */
const whyWrongFamily = (
  { family }: Address,
  families: ReadonlySet<Family | undefined>,
): string | undefined =>
  families.has(family) ? undefined : `has no use: the Service has no ${familyName(family)} cluster IP`;

function textsOf(kind: FrontendKind, service: KubeService): readonly string[] {
  switch (kind) {
    case 'cluster':
      return service.clusterIPs;
    case 'load-balancer':
      return service.loadBalancerIPs;
    case 'external':
      return service.externalIPs;
  }
}

/**
 * Returns a function that returns the clients of one family that may use the load balancer's
 * addresses. As in kube-proxy, ranges of the other family do not restrict this one. A range that
 * cannot be read lets nobody in, but keeps the restriction.
 */
function sourceRanges(
  { loadBalancerSourceRanges: texts, loadBalancerIPs }: KubeService,
  refuse: Refuse,
): (family: Family) => readonly Cidr[] | undefined {
  if (texts.length === 0 || loadBalancerIPs.length === 0) return () => undefined;
  const read = texts.map((text) => ({ text, range: sourceRange(text) }));
  for (const { text, range } of read)
    if (!range) refuse(`the source range ${shorten(text)}`, 'is not a subnet such as 203.0.113.0/24');
  const all = read.flatMap(({ range }) => range ?? []);
  const isRestricted = all.length < texts.length;
  return (family) => {
    const ranges = all.filter(({ base }) => base.family === family);
    return ranges.length > 0 || isRestricted ? ranges : undefined;
  };
}

/** Host bits do not count, as in Go. */
function sourceRange(text: string): Cidr | undefined {
  try {
    const { address, prefixLength } = parseAddressInSubnet(text.trim());
    return subnetOf(address, prefixLength);
  } catch {
    return undefined;
  }
}
