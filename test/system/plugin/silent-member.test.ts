import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startAgent } from '../../support/agent.ts';
import { startFabric } from '../../support/fabric.ts';
import { newScope } from '../../support/netns.ts';
import { startNode, type SimulatedNode } from '../../support/node.ts';
import { until } from '../../support/proc.ts';
import { addRange, BLUE, type Cluster } from './world.ts';

suite('one of three members of etcd hangs', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  before(async () => {
    const scope = newScope();
    const fabric = scope.use(await startFabric({ etcd: { members: 3 } }));
    node = scope.use(await startNode(fabric, 'node-1'));
    cluster = { scope, fabric, nodes: [node] };
    await addRange(fabric, ...BLUE);
  });
  after(() => cluster.scope.close());

  /** When the endpoint did not answer, as the node's processes tell each other. */
  const noted = async (endpoint: string): Promise<unknown> => {
    const text = await readFile(join(node.stateDir, 'silent-endpoints.json'), 'utf8').catch(() => '{}');
    return (JSON.parse(text) as Record<string, unknown>)[endpoint];
  };
  const addAndDel = async (env: Record<string, string> = {}): Promise<void> => {
    const pod = await node.makePod('p');
    for (const command of ['ADD', 'DEL'] as const) {
      const { code, stderr } = await node.call(command, pod, { env });
      assert.equal(code, 0, `${command}: ${stderr}`);
    }
    await pod.ns.stop();
  };

  test('a plugin tells the next one which; the agent strikes it out when the member answers again', async () => {
    const { etcd } = cluster.fabric;
    const leader = await etcd.leader();
    // While no member leads, the others do not answer either.
    const member = etcd.members.find((each) => each !== leader) ?? assert.fail();
    member.pause();
    try {
      // Each call sends its requests to members by chance.
      await until(
        'a plugin to meet the member',
        async () => {
          await addAndDel();
          return (await noted(member.endpoint)) !== undefined;
        },
        60_000,
      );
      const before = await noted(member.endpoint);
      // Meeting the member would write a later time.
      for (let n = 0; n < 3; n++) await addAndDel();
      assert.equal(await noted(member.endpoint), before);
    } finally {
      member.resume();
    }
    const agent = cluster.scope.use(await startAgent(node));
    await until(
      'the agent to ask the member',
      async () => {
        await addAndDel(agent.env);
        return (await noted(member.endpoint)) === undefined;
      },
      60_000,
    );
  });
});
