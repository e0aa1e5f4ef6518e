import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeChange } from '../../../../cni/openflow/changes.ts';
import { groupModifications } from '../../../../cni/openflow/groups.ts';
import type { Bucket, SelectGroup } from '../../../../cni/openflow/program.ts';

const bucket = (id: number): Bucket => ({
  id,
  weight: 100,
  actions: [{ kind: 'ct', commit: true, zone: 1, nat: { side: 'dst', family: 6, address: 1n, port: 80 } }],
});
const group = (buckets: number): SelectGroup => ({
  id: 1,
  buckets: Array.from({ length: buckets }, (_, i) => bucket(i)),
  selection: { method: 'hash', fields: ['ipv6_src', 'tcp_src'] },
});

suite('A group as changes', () => {
  test('is one, unless it has no room in one', () => {
    assert.equal(groupModifications(group(10)).length, 1);
    assert.deepEqual(groupModifications(group(0)), [{ kind: 'put-group', group: group(0) }]);
  });

  test('keeps its buckets in order, and each change has room in a bundle', () => {
    for (const count of [500, 600, 700, 2_000]) {
      const changes = groupModifications(group(count));
      assert.ok(changes.length >= count / 700, `${changes.length} changes of ${count} buckets`);
      const ids = changes.flatMap((change) => {
        if (change.kind === 'put-group') return change.group.buckets.map(({ id }) => id);
        return change.kind === 'add-buckets' ? change.buckets.map(({ id }) => id) : assert.fail();
      });
      assert.deepEqual(
        ids,
        group(count).buckets.map(({ id }) => id),
      );
      for (const change of changes) assert.ok(encodeChange(change, 1).length <= 65_535 - 16);
    }
  });
});
