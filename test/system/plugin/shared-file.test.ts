import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import type { SimulatedNode } from '../../support/node.ts';
import { must } from '../../support/proc.ts';
import { BLUE, failed, given, remains, startCluster, succeeded, type Cluster } from './world.ts';

suite('a shared file that is no regular file', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let dir: string;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    dir = await cluster.scope.tempDir();
    await mkdir(join(dir, 'folder'));
    await symlink('loop', join(dir, 'loop'));
    await must('mkfifo', [join(dir, 'pipe')]);
  });
  after(() => cluster.scope.close());

  for (const served of [false, true]) {
    for (const kind of ['folder', 'loop', 'pipe']) {
      const by = served ? 'the agent' : 'the plugin alone';
      test(`${kind}, by ${by}: ADD is refused by its name, DEL goes on`, async (t) => {
        let agent: RunningAgent | undefined;
        if (served) {
          agent = await startAgent(node);
          t.after(() => agent?.stop());
        }
        const env = { ...agent?.env, CELLNET_CONFIG: join(dir, kind) };
        const pod = await node.makePod('p');
        failed(await node.call('ADD', pod, { env }), 5, new RegExp(`${join(dir, kind)} cannot be read`));
        succeeded(await node.call('ADD', pod, { env: { ...agent?.env } }));
        succeeded(await node.call('DEL', pod, { env }));
        assert.equal((await given(cluster.fabric)).size, 0);
        assert.deepEqual(await remains(node), []);
      });
    }
  }
});
