import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { referenceSubjects } from '../../conformance/subjects.ts';
import { runConformance } from '../../conformance/suite.ts';
import { REPOSITORY, STOCK_PLUGINS } from '../../support/cni.ts';
import { newScope } from '../../support/netns.ts';
import { run } from '../../support/proc.ts';

suite('conformance of reference plugins to CNI', () => {
  test('it catches what reference plugins do otherwise, and finds nothing else amiss in bridge', async (t) => {
    const found = new Map<string, Set<string>>();
    for (const subject of await referenceSubjects(newScope(t))) {
      const failed = (await runConformance(subject, { versions: ['0.4.0', '1.0.0'] })).filter(
        ({ failure }) => failure !== undefined,
      );
      found.set(subject.name, new Set(failed.map(({ of }) => `${of.section}: ${of.sentence}`)));
    }
    assert.deepEqual([...(found.get('bridge') ?? [])].sort(), [
      "5 Error: an error carries the configuration's cniVersion",
      '5 VERSION Success: answers in the version that it was asked in',
    ]);
    assert.ok(
      found
        .get('ptp')
        ?.has('2 ADD: a container may be attached more than once, by different interface names'),
    );
    assert.ok(found.get('host-local')?.has('2 CHECK: without prevResult is an error'));
  });

  test('as a program: a plugin with a configuration file; status 1 where a case fails, 2 where it cannot run', async (t) => {
    const dir = await newScope(t).tempDir();
    const file = join(dir, 'net.conflist');
    const program = (...args: string[]): ReturnType<typeof run> =>
      run(process.execPath, ['--import', 'tsx', 'test/conformance/main.ts', ...args], {
        cwd: REPOSITORY,
        timeoutMs: 120_000,
      });
    const ipam = { type: 'host-local', subnet: '10.9.0.0/16', dataDir: join(dir, 'data') };
    await writeFile(file, JSON.stringify({ name: 'x', plugins: [{ type: 'bridge', bridge: 'ref1', ipam }] }));
    const { code, stdout } = await program(`${STOCK_PLUGINS}/bridge`, file);
    assert.equal(code, 1, stdout);
    assert.match(stdout, /FAIL 1\.0\.0 5 Error: an error carries the configuration's cniVersion/);
    assert.match(stdout, /\n\d{3} passed, [1-9]\d* failed\n$/);
    const wrong = await program(`${STOCK_PLUGINS}/macvlan`, file);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /has no plugin section whose type or ipam\.type is 'macvlan'/);
  });
});
