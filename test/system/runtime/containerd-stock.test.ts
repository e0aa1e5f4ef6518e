/**
 * Proves the containerd harness with only the stock plugins. A failure here is the fault of the
 * harness or the machine, and no test of ours that uses containerd can be believed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STOCK_PLUGINS } from '../../support/cni.ts';
import { startContainerd, type Containerd } from '../../support/containerd.ts';
import { newScope, scopedNamespace, type Scope } from '../../support/netns.ts';

const stockContainerd = async (scope: Scope, subnet: string): Promise<Containerd> => {
  const host = await scopedNamespace(scope, 'containerd');
  const ipam = { type: 'host-local', ranges: [[{ subnet }]], dataDir: await scope.tempDir() };
  const plugins = [{ type: 'bridge', bridge: 'cn-br0', isGateway: true, ipam }];
  const conflist = { cniVersion: '1.0.0', name: 'stock', plugins };
  const files = ['bridge', 'host-local', 'loopback'].map((name) => `${STOCK_PLUGINS}/${name}`);
  return scope.use(await startContainerd({ netns: host.name, plugins: files, conflist }));
};

test('two sandboxes on bridge and host-local reach each other, and removing one gives the address back', async (t) => {
  const scope = newScope(t);
  const containerd = await stockContainerd(scope, '10.88.8.0/29');
  const a = await containerd.runSandbox('a');
  const b = await containerd.runSandbox('b');
  assert.deepEqual([a.ips, b.ips], [['10.88.8.2'], ['10.88.8.3']]);
  assert.equal((await a.exec('ping', '-c', '1', '-w', '10', '10.88.8.3')).code, 0);
  await containerd.removeSandbox(b.id);
  assert.notEqual(
    (await a.exec('ping', '-c', '1', '-W', '1', '10.88.8.3')).code,
    0,
    'a removed sandbox must not answer',
  );
});

test('a plugin that fails makes the sandbox fail, with the reason', async (t) => {
  const scope = newScope(t);
  const containerd = await stockContainerd(scope, '10.88.8.0/30');
  await containerd.runSandbox('a');
  await assert.rejects(containerd.runSandbox('b'), /no IP addresses available/);
});
