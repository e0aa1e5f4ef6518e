import assert from 'node:assert/strict';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { startAgent } from '../../support/agent.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startFabric } from '../../support/fabric.ts';
import { newScope } from '../../support/netns.ts';
import { startNode } from '../../support/node.ts';
import { run } from '../../support/proc.ts';
import { httpGet, seriesOf } from '../../support/prometheus.ts';
import { addRange, BLUE, given, remains, succeeded } from '../plugin/world.ts';

/** A little of everything that depends on Node. `npm test` runs it on the newest Node too. */
suite(`the programs on Node ${process.versions.node}`, () => {
  test('one pod by the agent, one without it, with TLS to etcd; launcher, metrics, cnictl', async () => {
    const scope = newScope();
    try {
      const fabric = scope.use(await startFabric({ etcd: { tls: true } }));
      const node = scope.use(await startNode(fabric, 'node-1'));
      await addRange(fabric, ...BLUE);
      const agent = scope.use(await startAgent(node));
      const probed = await run(join(OUR_PLUGINS, 'cellnet'), ['--probe'], {
        netns: node.ns.name,
        env: agent.env,
      });
      assert.equal(probed.code, 0, probed.stderr);

      for (const [name, env] of Object.entries({ warm: agent.env, alone: { CELLNET_AGENT: 'false' } })) {
        const pod = await node.makePod(name);
        const added = await node.call('ADD', pod, { env });
        succeeded(added);
        await pod.ns.pings('10.20.0.1');
        const config = node.networkConfig({ prevResult: added.result });
        succeeded(await node.call('CHECK', pod, { env, config }));
        succeeded(await node.call('DEL', pod, { env }));
      }
      assert.equal(agent.logged('served').length, 3);
      assert.equal((await given(fabric)).size, 0);
      assert.deepEqual(await remains(node), []);

      const { body } = await httpGet({ socketPath: agent.metricsSocket }, '/metrics');
      const versions = seriesOf(body, 'cellnet_build_info').map(({ labels }) => labels['node_version']);
      assert.deepEqual(versions, [process.version]);
      // Node 26 refuses an address as the name of a TLS server, the others warn of it.
      const { code, stdout, stderr } = await fabric.cnictl('range', 'list', '-o', 'json');
      assert.equal(code, 0, stderr);
      assert.match(stdout, /"blue"/);
      assert.equal(stderr, '');
    } finally {
      await scope.close();
    }
  });
});
