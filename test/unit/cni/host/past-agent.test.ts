import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Metrics } from '../../../../cni/agent/metrics.ts';
import { CallsPastAgent } from '../../../../cni/host/past-agent.ts';

test('calls past the agent are counted while an agent counts, by reason, and in the metrics', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'cellnet-past-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const past = new CallsPastAgent(dir);
  past.note('configured');
  assert.equal(existsSync(join(dir, 'past-agent')), false);
  past.begin();
  for (const reason of ['configured', 'hung', 'configured'] as const) new CallsPastAgent(dir).note(reason);
  assert.deepEqual(past.count(), { configured: 2, unanswered: 0, hung: 1 });
  const scraped = { ranges: () => [], pending: () => 0, past: () => past.count() };
  const metrics = new Metrics('1.2.3', scraped, () => performance.now());
  for (let scrape = 0; scrape < 2; scrape++)
    assert.match(await metrics.text(), /cellnet_calls_past_agent_total\{reason="configured"\} 2\n/);
  past.begin();
  assert.deepEqual(past.count(), { configured: 0, unanswered: 0, hung: 0 });
  past.end();
  past.note('hung');
  assert.deepEqual(readdirSync(join(dir, 'past-agent')), []);
});
