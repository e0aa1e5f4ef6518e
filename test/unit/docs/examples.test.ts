import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readNetworkConfig } from '../../../cni/config.ts';
import { parseSharedConfig } from '../../../ipam/settings.ts';

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

test('the network configurations in the README are accepted', () => {
  const blocks = [
    ...readFileSync(join(docs, '../README.md'), 'utf8').matchAll(/^ {7}\{ "cniVersion[\s\S]*?\] \}$/gm),
  ];
  assert.equal(blocks.length, 1);
  const { plugins, ...list } = JSON.parse(blocks[0]?.[0] ?? '') as { plugins: object[] };
  for (const plugin of plugins) readNetworkConfig(JSON.stringify({ ...list, ...plugin }), 'cellnet', 'ADD');
});
