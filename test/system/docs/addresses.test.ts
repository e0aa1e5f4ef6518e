import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd } from '../../support/etcd.ts';
import { examplesOf } from '../../support/examples.ts';
import { newScope } from '../../support/netns.ts';
import { run } from '../../support/proc.ts';

test('the examples of docs/addresses.md print what the page says', async () => {
  const scope = newScope();
  try {
    const etcd = scope.use(await startEtcd());
    const env = {
      CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','),
      PATH: `${OUR_PLUGINS}:${process.env['PATH'] ?? ''}`,
    };
    const shell = (command: string): ReturnType<typeof run> => run('sh', ['-c', command], { env });
    const range = await shell('cnictl range add 10.20.0.0/22 --gateway 10.20.0.1 --vlan 120 --name blue');
    assert.equal(range.code, 0, range.stderr);
    const examples = examplesOf('docs/addresses.md');
    assert.ok(examples.length >= 5, `${examples.length} examples`);
    for (const { command, prints } of examples) {
      const done = await shell(command);
      assert.equal(done.code, 0, `${command}: ${done.stderr}`);
      assert.equal(done.stdout, prints, command);
    }
  } finally {
    await scope.close();
  }
});
