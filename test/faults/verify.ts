/**
 * Compares the truth, which is in the pods' namespaces, with etcd, and looks for what is left when
 * all pods have ended.
 */
import { given, remains } from '../system/plugin/world.ts';
import type { Pod } from '../support/node.ts';
import { must, sleep } from '../support/proc.ts';
import type { FaultCluster, Host } from './cluster.ts';

export interface LivingPod extends Pod {
  /** The address in the result of its ADD. */
  readonly ip: string;
}

export interface Verified {
  /** Addresses that two pods have or had at a time, or that etcd says another pod has. */
  readonly twoOwners: readonly string[];
  /** Addresses that living pods carry and etcd does not hold. */
  readonly lost: readonly string[];
  /** Addresses that etcd holds after all pods have ended and the nodes have reconciled once. */
  readonly leaked: readonly string[];
  /** Links, ports and files that are left then. */
  readonly left: readonly string[];
}

/** The addresses that a living pod's namespace carries. */
export interface Carried {
  readonly containerId: string;
  readonly ips: readonly string[];
}

/**
 * Compares what living pods carry with what etcd says.
 * @param owners the container of each address that etcd holds
 * @param overlaps addresses that two pods had at an earlier time
 */
export function compare(
  carried: readonly Carried[],
  owners: ReadonlyMap<string, string>,
  overlaps: readonly string[],
): Pick<Verified, 'twoOwners' | 'lost'> {
  const carriers = new Map<string, Set<string>>();
  for (const { containerId, ips } of carried)
    for (const ip of ips) carriers.set(ip, (carriers.get(ip) ?? new Set()).add(containerId));
  const twoOwners = new Set(overlaps);
  const lost: string[] = [];
  for (const [ip, containers] of carriers) {
    const owner = owners.get(ip);
    if (owner === undefined) lost.push(ip);
    else containers.add(owner);
    if (containers.size > 1) twoOwners.add(ip);
  }
  return { twoOwners: [...twoOwners].sort(), lost: lost.sort() };
}

/** How long the nodes may take to write back what etcd forgot, in milliseconds. */
const WRITE_BACK_WITHIN_MS = 30_000;

/**
 * Looks at the living pods, until etcd holds all of their addresses. Throws an Error for a pod
 * whose namespace does not carry the address of its result.
 */
export async function verifyLiving(
  { fabric }: FaultCluster,
  pods: readonly LivingPod[],
  overlaps: readonly string[],
): Promise<Pick<Verified, 'twoOwners' | 'lost'>> {
  const carried = await Promise.all(pods.map(carriedBy));
  const deadline = performance.now() + WRITE_BACK_WITHIN_MS;
  for (;;) {
    const compared = compare(carried, await given(fabric), overlaps);
    if (compared.lost.length === 0 || performance.now() > deadline) return compared;
    await sleep(500);
  }
}

const carriedBy = async ({ name, ip, ifname, containerId, ns }: LivingPod): Promise<Carried> => {
  const text = await must('ip', ['-n', ns.name, '-j', '-4', 'address', 'show', 'dev', ifname]);
  const links = JSON.parse(text) as { addr_info?: { local: string }[] }[];
  const ips = links.flatMap(({ addr_info }) => addr_info ?? []).map(({ local }) => local);
  if (!ips.includes(ip))
    throw new Error(`pod ${name} carries ${ips.join(', ') || 'nothing'}: expected ${ip}`);
  return { containerId, ips };
};

/** Reconciles each node once, when all pods have ended, and looks for what is left. */
export async function verifyEnded({
  fabric,
  hosts,
}: FaultCluster): Promise<Pick<Verified, 'leaked' | 'left'>> {
  const left: string[] = [];
  for (const host of hosts) await reconcile(host);
  for (const { node } of hosts) left.push(...(await remains(node)).map((what) => `${node.name}: ${what}`));
  return { leaked: [...(await given(fabric)).keys()].sort(), left };
}

/** Throws an Error when not everything could be looked at or put right. */
const reconcile = async (host: Host): Promise<void> => {
  const { code, stdout, stderr } = await host.cnictl('node', 'reconcile', '--grace', '1s');
  if (code !== 0 && code !== 1)
    throw new Error(`cnictl node reconcile on ${host.node.name}: status ${code}\n${stdout}\n${stderr}`);
};
