/**
 * Proves the podman harness with only the stock plugins. A failure here is the fault of the harness
 * or the machine, and no test of ours that uses podman can be believed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STOCK_PLUGINS } from '../../support/cni.ts';
import { newScope, scopedNamespace, type Scope } from '../../support/netns.ts';
import { startPodman, type Podman } from '../../support/podman.ts';

const stockPodman = async (scope: Scope, subnet: string): Promise<{ podman: Podman; host: string }> => {
  const host = await scopedNamespace(scope, 'podman');
  const ipam = { type: 'host-local', ranges: [[{ subnet }]], dataDir: await scope.tempDir() };
  const conflist = {
    cniVersion: '1.0.0',
    name: 'stock',
    plugins: [{ type: 'bridge', bridge: 'cn-br0', isGateway: true, ipam }],
  };
  const podman = scope.use(await startPodman({ netns: host.name, cniDirs: [STOCK_PLUGINS], conflist }));
  return { podman, host: host.name };
};

test('two containers on bridge and host-local reach each other, and rm gives the address back', async (t) => {
  const scope = newScope(t);
  const { podman } = await stockPodman(scope, '10.88.7.0/24');
  await podman.start('a', '/bin/sleep', '600');
  await podman.start('b', '/bin/sleep', '600');
  const [a, b] = [await podman.inspect('a'), await podman.inspect('b')];
  assert.deepEqual([a.ip, b.ip], ['10.88.7.2', '10.88.7.3']);
  assert.equal(a.gateway, '10.88.7.1');
  assert.match(await podman.must('exec', 'a', '/bin/ip', 'address', 'show', 'eth0'), /inet 10\.88\.7\.2\/24/);
  assert.match(await podman.must('exec', 'a', '/bin/ping', '-c', '1', '-W', '2', b.ip), /1 packets received/);
  await podman.rm('b');
  const gone = await podman.run('exec', 'a', '/bin/ping', '-c', '1', '-W', '1', b.ip);
  assert.notEqual(gone.code, 0, 'a removed container must not answer');
});

test('a plugin that fails makes podman fail, with the reason', async (t) => {
  const scope = newScope(t);
  const { podman } = await stockPodman(scope, '10.88.7.0/30');
  await podman.start('a', '/bin/sleep', '600');
  await assert.rejects(podman.start('b', '/bin/sleep', '600'), /no IP addresses available/);
});

test('a network that podman refuses is an error, not a bridge of its own', async (t) => {
  const scope = newScope(t);
  const host = await scopedNamespace(scope, 'podman');
  const conflist = { cniVersion: '9.9.9', name: 'stock', plugins: [{ type: 'bridge' }] };
  await assert.rejects(
    startPodman({ netns: host.name, cniDirs: [STOCK_PLUGINS], conflist }),
    /podman refuses the network/,
  );
});
