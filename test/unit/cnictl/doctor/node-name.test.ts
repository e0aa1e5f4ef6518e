import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../../cni/kube/errors.ts';
import { judgeNode } from '../../../../cnictl/doctor/kube.ts';
import { CliWorld } from '../../../golden/world.ts';

const ready = { uid: 'n', ready: true };

suite("the doctor's check of the node's name", () => {
  test('the same name is well, whatever its capitals', () => {
    const found = { node: { name: 'node-1', ...ready }, certain: true };
    const { level, detail } = judgeNode('Node-1', found);
    assert.deepEqual([level, detail], ['ok', 'node-1 is Ready in the cluster']);
    assert.equal(judgeNode('node-1', { ...found, node: { ...found.node, ready: false } }).level, 'warn');
  });

  test('another or a similar name is a warning, and is changed only when no pod has an address', () => {
    const similar = judgeNode('node-1', { node: { name: 'node-1.cell', ...ready }, certain: false });
    assert.match(similar.detail, /no node 'node-1'; 'node-1\.cell' may be this machine/);
    for (const { level, remedy } of [similar, judgeNode('node-1', undefined)]) {
      assert.equal(level, 'warn');
      assert.match(remedy, /kubectl drain it, cnictl node drain node-1, then set "node"/);
    }
  });

  test('a server that forbids to list nodes leaves the similar names out', async () => {
    const world = await CliWorld.make();
    world.nodes = [];
    world.kube = { listNodes: () => Promise.reject(new KubeError('forbidden', '403')) };
    const { stdout } = await world.run('doctor --conf-dir /none -o json');
    assert.match(stdout, /the cluster has no node 'node-1'"/);
  });
});
