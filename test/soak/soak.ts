/**
 * Runs simulated nodes, each with an agent, through faults for some minutes: pods start, end and
 * vanish without DEL; ADDs are cut short; agents are killed; nodes lose power; etcd and Open
 * vSwitch restart. At the end, reconciling must leave exactly the addresses of the living pods. No
 * address may ever have been in two living pods, by a journal that is kept outside cellnet.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '../support/proc.ts';
import { given, remains, startCluster, type Cluster } from '../system/plugin/world.ts';
import { Host } from './host.ts';
import { Journal } from './journal.ts';
import { Tally } from './tally.ts';

export interface SoakOptions {
  readonly nodes: number;
  readonly seconds: number;
  readonly tell: (line: string) => void;
}

export interface SoakResult {
  /** Everything that does not hold. Empty when the run succeeded. */
  readonly problems: readonly string[];
  readonly tally: Tally;
}

/** The number of concurrent calls that each node's runtime makes. */
const WORKERS = 2;
const PODS_PER_NODE = 25;
const CONVERGE_WITHIN_MS = 90_000;

export async function soak({ nodes, seconds, tell }: SoakOptions): Promise<SoakResult> {
  const tally = new Tally();
  const cluster = await startCluster(nodes, [
    ...['10.20.0.0/24', '--gateway', '10.20.0.1', '--vlan', '120'],
    ...['--name', 'blue', '--cooldown', '2s'],
  ]);
  const hosts: Host[] = [];
  try {
    const dir = await cluster.scope.tempDir();
    const journal = new Journal(join(dir, 'journal.jsonl'));
    for (const node of cluster.nodes) {
      await mkdir(join(dir, node.name));
      const host = new Host(node, join(dir, node.name), journal, tally);
      hosts.push(host);
      await host.boot();
    }
    const until = Date.now() + seconds * 1_000;
    const telling = setInterval(() => tell(progress(hosts, until)), 30_000);
    try {
      await Promise.all([
        ...hosts.flatMap((host) => Array.from({ length: WORKERS }, () => work(host, until))),
        ...hosts.map((host) => trouble(host, until)),
        troubleForAll(cluster, tally, until),
      ]);
    } finally {
      clearInterval(telling);
    }
    tell(`calls and troubles have ended: ${progress(hosts, until)}`);
    const problems = await converge(cluster, hosts, tell);
    const { lines, overlaps } = journal.overlaps();
    tell(`${lines} lines in the journal, ${overlaps.length} addresses in two living pods at a time`);
    problems.push(
      ...overlaps.map((each) => `two living pods had ${each.ip}: ${each.first} and ${each.second}`),
    );
    problems.push(...(await useAll(hosts)));
    return { problems, tally };
  } finally {
    await Promise.allSettled(hosts.map((host) => host.stop()));
    await cluster.scope.close();
  }
}

const progress = (hosts: readonly Host[], until: number): string => {
  const live = hosts.map((host) => host.live.size).join(' + ');
  return `${live} pods live, ${Math.max(0, Math.round((until - Date.now()) / 1_000))} s to go`;
};

const chance = (share: number): boolean => Math.random() < share;
const between = (least: number, most: number): number => least + Math.random() * (most - least);

function anyOf<T>(items: Iterable<T>): T | undefined {
  const all = [...items];
  return all[Math.floor(Math.random() * all.length)];
}

/** One worker of the runtime. */
async function work(host: Host, until: number): Promise<void> {
  for (let n = 0; Date.now() < until; n++) {
    await host.during(async () => {
      const pod = anyOf(host.live.values());
      // A pod that another worker has begun to end is no longer in `live`.
      if (pod && (chance(0.4) || host.live.size >= PODS_PER_NODE))
        await (chance(0.15) ? host.vanish(pod) : host.remove(pod));
      else if (chance(0.1)) await host.addCutShort(`cut-${n}`, between(5, 200), chance(0.5));
      else await host.add(`pod-${n}`);
    });
  }
}

/** Causes faults on one node. */
async function trouble(host: Host, until: number): Promise<void> {
  while (Date.now() < until) {
    await sleep(Math.min(between(5_000, 20_000), Math.max(0, until - Date.now())));
    if (Date.now() >= until) return;
    const dice = Math.random();
    if (dice < 0.35) await host.during(() => host.killAgent(between(0, 2_000)));
    else if (dice < 0.6) await host.during(() => host.reboot());
    else if (dice < 0.8) await host.during(() => host.restartDatabase());
    else await host.during(() => host.restartVswitchd());
  }
}

/** Causes faults of etcd. */
async function troubleForAll({ fabric }: Cluster, tally: Tally, until: number): Promise<void> {
  while (Date.now() < until) {
    await sleep(Math.min(between(15_000, 40_000), Math.max(0, until - Date.now())));
    if (Date.now() >= until) return;
    if (chance(0.5)) {
      fabric.etcd.pause();
      await sleep(between(500, 7_000));
      fabric.etcd.resume();
      tally.count('etcd', 'stood still');
    } else {
      await fabric.etcd.kill();
      await sleep(between(0, 3_000));
      await fabric.etcd.restart();
      tally.count('etcd', 'killed');
    }
  }
}

/**
 * Waits until etcd holds exactly the living pods' addresses and the nodes hold nothing else of
 * cellnet. Returns the differences that remain after CONVERGE_WITHIN_MS.
 */
async function converge(
  { fabric }: Cluster,
  hosts: readonly Host[],
  tell: (line: string) => void,
): Promise<string[]> {
  const living = hosts.flatMap((host) => [...host.live.values()]);
  const wanted = living.map(({ ip, containerId }) => `${ip} of ${containerId}`).sort();
  const started = performance.now();
  for (;;) {
    const held = [...(await given(fabric))].map(([ip, containerId]) => `${ip} of ${containerId}`).sort();
    const onNodes: string[] = [];
    for (const host of hosts)
      onNodes.push(...(await foreignTo(host)).map((what) => `left on ${host.node.name}: ${what}`));
    const problems = [
      ...held.filter((each) => !wanted.includes(each)).map((each) => `leaked: ${each}`),
      ...wanted.filter((each) => !held.includes(each)).map((each) => `lost: ${each}, whose pod lives`),
      ...onNodes,
    ];
    const waited = performance.now() - started;
    if (problems.length === 0)
      tell(
        `just the ${wanted.length} living pods' addresses are left, after ${(waited / 1_000).toFixed(1)} s`,
      );
    if (problems.length === 0 || waited > CONVERGE_WITHIN_MS) return problems;
    await sleep(500);
  }
}

/** Returns resources of cellnet on the node that belong to no living pod. */
async function foreignTo(host: Host): Promise<string[]> {
  const pods = [...host.live.values()];
  const own = pods.flatMap(({ containerId, ifname, result }) => [
    result.interfaces?.[0]?.name ?? '',
    `${containerId},${ifname}.json`,
  ]);
  const used = new Set(pods.map(({ ip }) => `file addresses/${ip}`));
  const left = (await remains(host.node)).filter((what) => !used.has(what));
  return left.filter((what) => !own.some((name) => what.includes(name)));
}

/**
 * Checks that every living pod reaches the gateway and passes CHECK, then removes all pods and
 * checks that nothing of them remains. Returns the problems.
 */
async function useAll(hosts: readonly Host[]): Promise<string[]> {
  const problems: string[] = [];
  for (const host of hosts) {
    for (const pod of [...host.live.values()]) {
      await pod.ns.pings('10.20.0.1').catch((error: unknown) => problems.push(`${pod.ip}: ${String(error)}`));
      const config = host.node.networkConfig({ prevResult: pod.result });
      const checked = await host.call('CHECK', pod, { config });
      if (checked.code !== 0) problems.push(`CHECK of ${pod.ip} on ${host.node.name}: ${checked.stdout}`);
      await host.remove(pod);
    }
    problems.push(
      ...(await remains(host.node)).map((what) => `left on ${host.node.name} at the end: ${what}`),
    );
  }
  return problems;
}
