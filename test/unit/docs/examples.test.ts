import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findTarget } from '../../../cni/kube/kubeconfig.ts';
import { readNetworkConfig } from '../../../cni/protocol/config.ts';
import { parseSharedConfig } from '../../../ipam/settings/settings.ts';

const docs = join(import.meta.dirname, '../../../docs');
const read = (file: string): string => readFileSync(join(docs, file), 'utf8');

test('the example configurations are accepted', () => {
  const { cniVersion, name, plugins } = JSON.parse(read('examples/10-cell.conflist')) as {
    cniVersion: string;
    name: string;
    plugins: { type: string }[];
  };
  const ours = plugins.find((plugin) => plugin.type === 'cellnet');
  const config = readNetworkConfig(JSON.stringify({ cniVersion, name, ...ours }), 'cellnet', 'ADD').config;
  assert.equal(config.bridge, 'br-cell');
  assert.equal(parseSharedConfig(read('examples/config.json'), 'config.json').etcd?.endpoints?.length, 3);
});

test('the example kubeconfig is accepted, and the example configuration names the file that it is copied to', () => {
  const { cluster, user, tokenFile } = findTarget({
    kubeconfig: join(docs, 'examples/kubeconfig.yaml'),
    env: {},
  });
  assert.deepEqual(
    [cluster.server, cluster.caFile, user.name, tokenFile],
    ['https://10.0.0.10:6443', '/etc/cellnet/kube-ca.pem', 'cellnet-check', '/etc/cellnet/check.token'],
  );
  const { kubeconfig = '' } = parseSharedConfig(read('examples/config.json'), 'config.json');
  assert.match(
    read('operations/check-watch.md'),
    new RegExp(`cp docs/examples/kubeconfig.yaml ${kubeconfig}$`, 'm'),
  );
});

test('the network configurations in the README are accepted', () => {
  const blocks = [
    ...readFileSync(join(docs, '../README.md'), 'utf8').matchAll(/^ {7}\{ "cniVersion[\s\S]*?\] \}$/gm),
  ];
  assert.equal(blocks.length, 1);
  const { plugins, ...list } = JSON.parse(blocks[0]?.[0] ?? '') as { plugins: object[] };
  for (const plugin of plugins) readNetworkConfig(JSON.stringify({ ...list, ...plugin }), 'cellnet', 'ADD');
});
