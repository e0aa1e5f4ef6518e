/**
 * Stands in for kube-proxy on a simulated node, in its mode iptables: keeps the rules of
 * kube-proxy-rules.ts in the node's namespace, as the API server's Services and EndpointSlices
 * change.
 */
import type { KubeApiServer, KubeObject } from './kube-api.ts';
import { keyOf, type Collection } from './kube-api-store.ts';
import { FIXED_CHAINS, JUMPS, rulesOf, type RuleOptions } from './kube-proxy-rules.ts';
import { proxiedPorts, type Family } from './kube-proxy-services.ts';
import type { SimulatedNode } from './node.ts';

export interface KubeProxy {
  /** Resolves once the rules are as all changes of before ask for. */
  settled(): Promise<void>;
  /** Leaves the rules, as kube-proxy does. */
  stop(): Promise<void>;
}

export interface KubeProxyOptions extends Omit<RuleOptions, 'clusterCidr'> {
  /** One subnet of each family, as `--cluster-cidr`. Absent: it cannot tell pods. */
  readonly clusterCidr?: Partial<Record<Family, string>>;
  /** Default: IPv4 */
  readonly families?: readonly Family[];
}

const TABLES = ['filter', 'nat'] as const;
type Table = (typeof TABLES)[number];

/** @throws Error of iptables-restore */
export async function startKubeProxy(
  node: SimulatedNode,
  api: Pick<KubeApiServer, 'services' | 'endpointslices'>,
  { clusterCidr = {}, families = [4], masqueradeAll = false }: KubeProxyOptions = {},
): Promise<KubeProxy> {
  const services = new Map<string, KubeObject>();
  const slices = new Map<string, KubeObject>();
  const written = new Map<string, ReadonlySet<string>>();

  const sync = async (family: Family): Promise<void> => {
    const ports = proxiedPorts([...services.values()], [...slices.values()], family, node.nodeName);
    const cidr = clusterCidr[family];
    const rules = rulesOf(ports, { masqueradeAll, ...(cidr !== undefined && { clusterCidr: cidr }) });
    const text = TABLES.map((table) => {
      const wanted = new Set<string>([...FIXED_CHAINS[table], ...rules[table].map(chainOf)]);
      const gone = [...(written.get(`${table}${family}`) ?? [])].filter((name) => !wanted.has(name));
      written.set(`${table}${family}`, wanted);
      return tableText(table, [...wanted, ...gone], [...rules[table], ...gone.map((name) => `-X ${name}`)]);
    });
    await restore(node, family, text.join(''));
  };
  const syncAll = async (): Promise<void> => {
    for (const family of families) await sync(family);
  };

  let work = Promise.resolve();
  let waits = false;
  const changed = (): void => {
    if (waits) return;
    waits = true;
    work = work.then(() => {
      waits = false;
      return syncAll();
    });
    // `settled` and `stop` reject with it.
    work.catch(() => undefined);
  };
  await syncAll();
  for (const family of families)
    await restore(node, family, TABLES.map((table) => tableText(table, [], JUMPS[table])).join(''));
  const ends = [follow(api.services, services, changed), follow(api.endpointslices, slices, changed)];
  const settled = (): Promise<void> => work;
  await settled();
  return {
    settled,
    stop: async () => {
      for (const end of ends) end();
      await work;
    },
  };
}

/** Keeps the objects of the collection. @returns what ends that */
function follow(collection: Collection, objects: Map<string, KubeObject>, changed: () => void): () => void {
  const take = ({ type, object }: ReturnType<Collection['eventsAfter']>[number]): void => {
    if (type === 'DELETED') objects.delete(keyOf(object));
    else objects.set(keyOf(object), object);
    changed();
  };
  for (const event of collection.eventsAfter(0)) take(event);
  return collection.watch(take);
}

const chainOf = (rule: string): string => rule.split(' ')[1] ?? '';

/** A chain that is named here is made, or emptied. */
const tableText = (table: Table, chains: readonly string[], rules: readonly string[]): string =>
  [`*${table}`, ...chains.map((name) => `:${name} - [0:0]`), ...rules, 'COMMIT', ''].join('\n');

async function restore({ ns, name }: SimulatedNode, family: Family, input: string): Promise<void> {
  const program = family === 4 ? 'iptables-restore' : 'ip6tables-restore';
  const { code, stderr } = await ns.run(program, ['--noflush', '-w', '5'], { input });
  if (code !== 0) throw new Error(`${program} on ${name}: ${stderr}\n${input}`);
}
