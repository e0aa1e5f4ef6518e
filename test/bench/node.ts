import { parseAddress, parseCidr } from '../../ipam/model/address.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import { encodeRange } from '../../ipam/records/range-record.ts';
import { startAgent, type RunningAgent } from '../support/agent.ts';
import { startFabric, type Fabric } from '../support/fabric.ts';
import type { Scope } from '../support/netns.ts';
import { startNode, type SimulatedNode } from '../support/node.ts';

export interface BenchNode {
  readonly fabric: Fabric;
  readonly node: SimulatedNode;
  readonly running: RunningAgent;
}

/** Starts a node with its agent, and an etcd of so many members, which holds one large range. */
export async function startBenchNode(scope: Scope, name: string, members = 1): Promise<BenchNode> {
  const fabric = scope.use(await startFabric({ etcd: { members } }));
  const node = scope.use(await startNode(fabric, name));
  const range = makeRange({
    name: 'blue',
    cidr: parseCidr('10.20.0.0/22'),
    gateway: parseAddress('10.20.0.1'),
    vlan: 120,
    cooldownMs: 0,
  });
  await fabric.etcd.ctl('put', '/cellnet/v1/ranges/blue', encodeRange(range));
  return { fabric, node, running: scope.use(await startAgent(node)) };
}
