import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { hostLinkName } from '../../../cni/protocol/identity.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import { usedSlots } from '../../../ipam/model/block.ts';
import { startAgent, type AgentOptions, type RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import type { AddedPod, Pod, PodOptions, SimulatedNode } from '../../support/node.ts';
import { run, until } from '../../support/proc.ts';
import { given, readBlocks, remains, type Cluster } from '../plugin/world.ts';

/**
 * An interval and a grace period short enough for tests. The tests await the outcome and do not
 * time it.
 */
export const QUICK = { CELLNET_RECONCILE_INTERVAL_MS: '500', CELLNET_RECONCILE_GRACE_MS: '200' };

export const startReconciling = (
  node: SimulatedNode,
  { env, ...options }: AgentOptions = {},
): Promise<RunningAgent> => startAgent(node, undefined, [], { ...options, env: { ...QUICK, ...env } });

/**
 * Returns a boot ID that differs from the one under which this machine's plugins allocate
 * addresses.
 */
export const anotherBoot = (): string => randomUUID();

export const addPods = async (
  node: SimulatedNode,
  count: number,
  options?: PodOptions,
): Promise<AddedPod[]> => {
  const pods: AddedPod[] = [];
  for (let i = 0; i < count; i++) pods.push(await node.addPod(`p${i}`, options));
  return pods;
};

/**
 * Removes the namespaces without a DEL, as a power cut or the death of a runtime does. `ip netns
 * del` returns before the kernel's worker removes the links inside, so this waits until the node's
 * ends are gone too.
 */
export const vanish = async (node: SimulatedNode, ...pods: readonly Pod[]): Promise<void> => {
  await Promise.all(pods.map((pod) => pod.ns.stop()));
  for (const link of pods.map(hostLinkName))
    await until(`link ${link} to be gone`, async () => {
      const { code } = await run('ip', ['-n', node.ns.name, 'link', 'show', 'dev', link]);
      return code !== 0;
    });
};

/** Removes the node's own record of the attachment. A power cut loses what is not yet on disk. */
export const loseRecord = (node: SimulatedNode, { containerId, ifname }: Pod): void =>
  rmSync(join(node.stateDir, 'attachments', `${containerId},${ifname}.json`));

/** Waits until etcd holds exactly these pods' addresses, each with its own pod. */
export const onlyLeft = (cluster: Cluster, ...pods: readonly AddedPod[]): Promise<true> => {
  const expected = pods.map(({ ip, containerId }) => `${ip} ${containerId}`).sort();
  return until('only the living pods to have addresses', async () => {
    const held = [...(await given(cluster.fabric))].map(([ip, id]) => `${ip} ${id}`).sort();
    return held.join() === expected.join();
  });
};

/** Waits until nothing of ours is on the node except what belongs to these pods. */
export const nothingElse = (node: SimulatedNode, ...pods: readonly AddedPod[]): Promise<true> =>
  until('nothing to be left on the node', async () => {
    const left = await remains(node);
    const ours = pods.flatMap(({ containerId, ifname, result, ip }) => {
      const link = result.interfaces?.[0]?.name ?? '';
      return [
        `port ${link}`,
        `interface row ${link}`,
        `link ${link}`,
        fileOf(containerId, ifname),
        `file addresses/${ip}`,
      ];
    });
    return left.every((each) => ours.includes(each)) && left.length === ours.length;
  });

const fileOf = (containerId: string, ifname: string): string =>
  `file attachments/${containerId},${ifname}.json`;

export const reaches = (pod: Pod): Promise<string> => pod.ns.exec('ping', '-c1', '-w10', '10.20.0.1');

/**
 * Returns the sequence of each allocation by address. A repeated allocation changes the sequence.
 */
export const sequences = async (cluster: Cluster): Promise<Map<string, number>> =>
  new Map(
    (await readBlocks(cluster.fabric))
      .flatMap((block) => usedSlots(block))
      .map(({ address, slot }) => [formatAddress(address), slot.sequence]),
  );

interface RanReconcile {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export const nodeReconcile = (node: SimulatedNode, ...args: readonly string[]): Promise<RanReconcile> =>
  run(`${OUR_PLUGINS}/cnictl`, ['node', 'reconcile', ...args], {
    env: node.env,
    netns: node.ns.name,
  });

export interface ToldFinding {
  readonly containerId: string;
  readonly ips: readonly string[];
  readonly reason: string;
  readonly outcome: string;
  readonly swept: readonly string[];
}

export const findingsOf = ({ stdout }: RanReconcile): readonly ToldFinding[] =>
  (JSON.parse(stdout) as { findings: ToldFinding[] }).findings;

export const ranWith = (ran: RanReconcile, code: number): void =>
  assert.equal(ran.code, code, `${ran.stdout}\n${ran.stderr}`);
