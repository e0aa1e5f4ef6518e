import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { REPOSITORY } from '../../support/cni.ts';
import { must } from '../../support/proc.ts';

const RULES = join(REPOSITORY, 'docs/examples/cellnet.rules.yaml');

test('the alert rules are ones that Prometheus takes', async () => {
  assert.match(await must('promtool', ['check', 'rules', RULES]), /SUCCESS: 30 rules found/);
});

test('they fire when they should, and not before', async () => {
  await must('promtool', ['test', 'rules', join(REPOSITORY, 'test/alerts/cellnet.test.yaml')]);
});

test('they name metrics that the agent has, and every alert is tried', () => {
  const rules = readFileSync(RULES, 'utf8');
  const docs = readFileSync(join(REPOSITORY, 'docs/operations/metrics.md'), 'utf8');
  const documented = new Set([...docs.matchAll(/^\| `(cellnet_\w+)` \|/gm)].map(([, name]) => name));
  for (const [name] of rules.matchAll(/\bcellnet_\w+/g))
    assert.ok(documented.has(name.replace(/_(count|bucket|sum)$/, '')), name);
  const tried = readFileSync(join(REPOSITORY, 'test/alerts/cellnet.test.yaml'), 'utf8');
  for (const [, alert = ''] of rules.matchAll(/- alert: (\w+)/g)) assert.ok(tried.includes(alert), alert);
});
