/** Key `masqueradeForwarded` on a simulated node. */
import { readFile, writeFile } from 'node:fs/promises';
import type { RunningAgent } from './agent.ts';
import type { SimulatedNode } from './node.ts';
import { until } from './proc.ts';

/** Returns the agent's table of nftables in the node's namespace; undefined if there is none. */
export async function masqueradeTableOf({ ns }: SimulatedNode): Promise<string | undefined> {
  const { code, stdout } = await ns.run('nft', ['list', 'table', 'inet', 'cellnet']);
  return code === 0 ? stdout : undefined;
}

/** Sets the key in the node's shared file, and waits until its agent has done so. */
export async function setMasquerade(node: SimulatedNode, agent: RunningAgent, on: boolean): Promise<void> {
  const file = node.env['CELLNET_CONFIG'] ?? '';
  const shared = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...shared, masqueradeForwarded: on }));
  agent.daemon.signal('SIGHUP');
  await until(`masquerading on ${node.name} is ${on ? 'on' : 'off'}`, async () => {
    const table = await masqueradeTableOf(node);
    return on ? table?.includes('elements') : table === undefined;
  });
}
