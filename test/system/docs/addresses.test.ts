import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { OUR_PLUGINS, REPOSITORY } from '../../support/cni.ts';
import { startEtcd } from '../../support/etcd.ts';
import { newScope } from '../../support/netns.ts';
import { run } from '../../support/proc.ts';

/** The commands of a page's examples, in order, each with what it is said to print. */
function examplesOf(page: string): { readonly command: string; readonly prints: string }[] {
  const lines = readFileSync(join(REPOSITORY, page), 'utf8').split('\n');
  const examples: { command: string; prints: string }[] = [];
  let last: { command: string; prints: string } | undefined;
  for (const line of lines) {
    if (line.startsWith('    $ ')) examples.push((last = { command: line.slice(6), prints: '' }));
    else if (last && line.startsWith('    ')) last.prints += `${line.slice(4)}\n`;
    else last = undefined;
  }
  return examples;
}

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
