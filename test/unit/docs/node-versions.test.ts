import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { OLDEST_NODE, supportEnd } from '../../../cnictl/install/node-program.ts';

const read = (path: string): string => readFileSync(join(import.meta.dirname, '../../..', path), 'utf8');

const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
const tested = engines.node.split(' || ').map(Number);

test('engines names the tested major versions, and the oldest is the one that is accepted', () => {
  assert.deepEqual(tested, [20, 22, 24, 26]);
  assert.equal(tested[0], OLDEST_NODE);
  assert.match(read('README.md'), /You need Node 20, 22, 24 or 26,/);
});

test("the image's Node, that of the build, is a tested and maintained one", () => {
  const found = [...read('docs/examples/Dockerfile').matchAll(/^FROM \S+\/node:(\S+?)-/gm)];
  const versions = found.map(([, version]) => version ?? '');
  assert.equal(versions.length, 1);
  assert.ok(tested.includes(Number.parseInt(versions[0] ?? '')));
  assert.equal(supportEnd(versions[0], Date.parse('2026-12-01')), undefined);
});
