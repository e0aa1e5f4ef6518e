import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentFlows } from '../../../../cni/agent/recent-flows.ts';

test('one look at the flows counts for a second, unless nothing is forwarded', async () => {
  let now = 0;
  let looks = 0;
  let outputs = true;
  const recent = new RecentFlows(
    () => {
      looks++;
      return Promise.resolve({ count: 1, outputs, toController: false });
    },
    { monotonic: () => now },
  );
  await Promise.all([recent.get('br-a'), recent.get('br-a'), recent.get('br-b')]);
  assert.equal(looks, 2);
  now = 999;
  await recent.get('br-a');
  assert.equal(looks, 2);
  now = 1_000;
  outputs = false;
  await recent.get('br-a');
  await recent.get('br-a');
  assert.equal(looks, 4);
});
