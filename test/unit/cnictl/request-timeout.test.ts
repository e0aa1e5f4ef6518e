import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Context, type GlobalOptions } from '../../../cnictl/context/context.ts';
import type { KubeOptions, World } from '../../../cnictl/context/world.ts';
import { CliWorld } from '../../golden/world.ts';

async function opened(
  options: Partial<GlobalOptions>,
  lists: boolean,
): Promise<readonly [requestTimeoutMs: number, listTimeoutMs: number]> {
  let seen: KubeOptions | undefined;
  const world = {
    env: {},
    readFile: () => undefined,
    isTerminal: false,
    openKube: (given: KubeOptions) => {
      seen = given;
      return Promise.resolve({ close: () => undefined });
    },
  } as unknown as World;
  const context = new Context(world, { output: 'table', ...options });
  await (lists ? context.withKubeLists(() => Promise.resolve()) : context.withKube(() => Promise.resolve()));
  assert.ok(seen);
  return [seen.requestTimeoutMs, seen.listTimeoutMs];
}

suite('--request-timeout', () => {
  test('10 s for commands that look, 5 m for a whole list of pods', async () => {
    assert.deepEqual(await opened({}, false), [10_000, 10_000]);
    assert.deepEqual(await opened({}, true), [10_000, 300_000]);
    assert.deepEqual(await opened({ requestTimeout: '2s' }, false), [2_000, 2_000]);
    assert.deepEqual(await opened({ requestTimeout: '2s' }, true), [2_000, 300_000]);
    assert.deepEqual(await opened({ requestTimeout: '10m' }, true), [600_000, 600_000]);
  });

  test('a value that is no duration, or 0, is refused', async () => {
    const world = await CliWorld.make();
    for (const [value, expected] of [
      ['10', /--request-timeout '10': expected a duration such as 30s/],
      ['0', /--request-timeout '0': expected more than 0/],
      ['2d', /--request-timeout '2d': expected at most 24h/],
    ] as const) {
      const ran = await world.run(`status --request-timeout ${value}`);
      assert.equal(ran.status, 2);
      assert.match(ran.stderr, expected);
    }
  });
});

test('every command takes it, before and behind its name', async () => {
  const world = await CliWorld.make();
  for (const argv of ['--request-timeout 5s status', 'status --request-timeout 5s'])
    assert.equal((await world.run(argv)).status, 0);
});
