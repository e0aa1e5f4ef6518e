/**
 * The iptables rules that kube-proxy 1.30 and later writes in the mode iptables, by its chains and
 * in its order (pkg/proxy/iptables). Left out: session affinity, source ranges of load balancers,
 * topology hints, ports for health checks, counters of nfacct, and NodePorts at the loopback.
 */
import { createHash } from 'node:crypto';
import type { ProxiedPort } from './kube-proxy-services.ts';

const MARK = '0x4000';
/** Rules and names of chains by table. */
export interface Rules {
  readonly filter: string[];
  readonly nat: string[];
}

const comment = (text: string): string => `-m comment --comment "${text}"`;

/** Rules of the kernel's own chains, which kube-proxy makes once. */
export const JUMPS: Rules = {
  filter: [
    ...['INPUT', 'FORWARD'].map((chain) => jumpNew(chain, 'externally-visible service portals', 'EXTERNAL-')),
    ...['FORWARD', 'OUTPUT'].map((chain) => jumpNew(chain, 'service portals', '')),
    `-A FORWARD ${comment('kubernetes forwarding rules')} -j KUBE-FORWARD`,
  ],
  nat: [
    ...['PREROUTING', 'OUTPUT'].map(
      (chain) => `-A ${chain} ${comment('kubernetes service portals')} -j KUBE-SERVICES`,
    ),
    `-A POSTROUTING ${comment('kubernetes postrouting rules')} -j KUBE-POSTROUTING`,
  ],
};

function jumpNew(chain: string, what: string, kind: string): string {
  return `-A ${chain} -m conntrack --ctstate NEW ${comment(`kubernetes ${what}`)} -j KUBE-${kind}SERVICES`;
}

export const FIXED_CHAINS = {
  filter: ['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES', 'KUBE-FORWARD'],
  nat: ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ'],
} as const;

/** What kube-proxy's options say. */
export interface RuleOptions {
  /** `--cluster-cidr`: sources that count as pods. Absent: it cannot tell pods. */
  readonly clusterCidr?: string;
  readonly masqueradeAll?: boolean;
}

/** Returns the rules of all chains of kube-proxy. */
export function rulesOf(ports: readonly ProxiedPort[], options: RuleOptions): Rules {
  const rules: Rules = { filter: [], nat: [] };
  for (const port of ports) addPort(rules, port, options);
  rules.nat.push(
    `-A KUBE-SERVICES ${comment('kubernetes service nodeports; NOTE: this must be the last rule in this chain')} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS`,
    `-A KUBE-POSTROUTING -m mark ! --mark ${MARK}/${MARK} -j RETURN`,
    `-A KUBE-POSTROUTING -j MARK --xor-mark ${MARK}`,
    `-A KUBE-POSTROUTING ${comment('kubernetes service traffic requiring SNAT')} -j MASQUERADE --random-fully`,
    `-A KUBE-MARK-MASQ -j MARK --or-mark ${MARK}`,
  );
  rules.filter.push(
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    `-A KUBE-FORWARD ${comment('kubernetes forwarding rules')} -m mark --mark ${MARK}/${MARK} -j ACCEPT`,
    `-A KUBE-FORWARD ${comment('kubernetes forwarding conntrack rule')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
  );
  return rules;
}

/** Returns the name of a chain: 16 letters of a hash tell Services and endpoints apart. */
function chain(kind: 'SVC' | 'SVL' | 'EXT' | 'SEP', ...of: readonly string[]): string {
  return `KUBE-${kind}-${base32(createHash('sha256').update(of.join('')).digest()).slice(0, 16)}`;
}

/** RFC 4648 section 6, without padding. */
function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  return [...bits.matchAll(/.{5}/g)].map(([five]) => letters[Number.parseInt(five, 2)]).join('');
}

function addPort(rules: Rules, port: ProxiedPort, options: RuleOptions): void {
  const { name, protocol, cluster, local, externalLocal, internalLocal, nodePort } = port;
  const chains = {
    svc: chain('SVC', name, protocol),
    svl: chain('SVL', name, protocol),
    ext: chain('EXT', name, protocol),
  };
  const hasAny = cluster.length > 0;
  const match = `-m ${protocol} -p ${protocol}`;
  const refusal = (isLocal: boolean): string | undefined => {
    if (!hasAny) return `${comment(`${name} has no endpoints`)} %s -j REJECT`;
    if (isLocal && local.length === 0) return `${comment(`${name} has no local endpoints`)} %s -j DROP`;
    return undefined;
  };
  const internal = internalLocal ? chains.svl : chains.svc;
  const atCluster = `${match} -d ${port.clusterIp} --dport ${port.port}`;
  const noInternal = refusal(internalLocal);
  if (noInternal) rules.filter.push(`-A KUBE-SERVICES ${noInternal.replace('%s', atCluster)}`);
  else {
    rules.nat.push(`-A KUBE-SERVICES ${comment(`${name} cluster IP`)} ${atCluster} -j ${internal}`);
    rules.nat.push(...markInternal(internal, `${comment(`${name} cluster IP`)} ${atCluster}`, options));
  }
  const noExternal = refusal(externalLocal);
  for (const ip of port.externalIps) {
    const at = `${match} -d ${ip} --dport ${port.port}`;
    if (hasAny) rules.nat.push(`-A KUBE-SERVICES ${comment(`${name} external IP`)} ${at} -j ${chains.ext}`);
    if (noExternal) rules.filter.push(`-A KUBE-EXTERNAL-SERVICES ${noExternal.replace('%s', at)}`);
  }
  if (nodePort > 0) {
    const at = `${match} --dport ${nodePort}`;
    if (hasAny) rules.nat.push(`-A KUBE-NODEPORTS ${comment(name)} ${at} -j ${chains.ext}`);
    const dropped = noExternal?.replace('%s', `-m addrtype --dst-type LOCAL ${at}`);
    if (dropped) rules.filter.push(`-A KUBE-EXTERNAL-SERVICES ${dropped}`);
  }
  if (!hasAny) return;
  const isExternal = nodePort > 0 || port.externalIps.length > 0;
  if (isExternal) rules.nat.push(...externalChain(port, chains, noExternal === undefined, options));
  rules.nat.push(...balance(chains.svc, name, cluster, protocol));
  if ((externalLocal && isExternal) || internalLocal)
    rules.nat.push(...balance(chains.svl, name, local, protocol));
  for (const at of cluster) rules.nat.push(...endpointChain(name, protocol, at));
}

/** Connections to a cluster address that come from no pod. */
function markInternal(to: string, match: string, { clusterCidr, masqueradeAll }: RuleOptions): string[] {
  if (masqueradeAll) return [`-A ${to} ${match} -j KUBE-MARK-MASQ`];
  return clusterCidr === undefined ? [] : [`-A ${to} ${match} ! -s ${clusterCidr} -j KUBE-MARK-MASQ`];
}

function externalChain(
  { name, externalLocal }: ProxiedPort,
  { svc, svl, ext }: Readonly<Record<'svc' | 'svl' | 'ext', string>>,
  hasExternal: boolean,
  { clusterCidr }: RuleOptions,
): string[] {
  const what = `for ${name} external destinations`;
  const own = '-m addrtype --src-type LOCAL';
  const rest = hasExternal ? [`-A ${ext} -j ${externalLocal ? svl : svc}`] : [];
  if (!externalLocal)
    return [`-A ${ext} ${comment(`masquerade traffic ${what}`)} -j KUBE-MARK-MASQ`, ...rest];
  return [
    ...(clusterCidr === undefined
      ? []
      : [`-A ${ext} ${comment(`pod traffic ${what}`)} -s ${clusterCidr} -j ${svc}`]),
    `-A ${ext} ${comment(`masquerade LOCAL traffic ${what}`)} ${own} -j KUBE-MARK-MASQ`,
    `-A ${ext} ${comment(`route LOCAL traffic ${what}`)} ${own} -j ${svc}`,
    ...rest,
  ];
}

/** Each endpoint takes an equal part of the connections that come to its rule. */
function balance(from: string, name: string, endpoints: readonly string[], protocol: string): string[] {
  return endpoints.map((at, i) => {
    const left = endpoints.length - i;
    const part = left === 1 ? '' : ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}`;
    return `-A ${from} ${comment(`${name} -> ${at}`)}${part} -j ${chain('SEP', name, protocol, at)}`;
  });
}

/** A pod that reaches itself needs another source. */
function endpointChain(name: string, protocol: string, at: string): string[] {
  const own = chain('SEP', name, protocol, at);
  const ip = at.slice(0, at.lastIndexOf(':')).replace(/[[\]]/g, '');
  return [
    `-A ${own} ${comment(name)} -s ${ip} -j KUBE-MARK-MASQ`,
    `-A ${own} ${comment(name)} -m ${protocol} -p ${protocol} -j DNAT --to-destination ${at}`,
  ];
}
