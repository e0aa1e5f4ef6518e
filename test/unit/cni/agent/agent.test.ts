import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Agent, CallDeclined, type AgentPlatform } from '../../../../cni/agent/agent.ts';
import { Watch } from '../../../../cni/agent/watch.ts';
import { hostEffects } from '../../../../cni/host/effects.ts';
import { CONFIG, ENV, reply, useFakeNode } from '../fake-platform.ts';

suite('calls of the agent', () => {
  const node = useFakeNode();
  /** An agent whose calls wait at their attachment's lock until `unlock`. */
  const start = (): { readonly call: (id: string) => Promise<number | undefined>; unlock: () => void } => {
    let unlock = (): void => undefined;
    const locked = new Promise<() => void>((resolve) => (unlock = () => resolve(() => undefined)));
    const platform: AgentPlatform = {
      forCall: () => ({ ...node.fake.platform(), lock: () => locked }),
      readShared: () => undefined,
    };
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const { metrics } = new Watch('1.2.3', hostEffects, () => 0);
    const agent = new Agent(platform, metrics, log, hostEffects);
    const stdin = JSON.stringify(CONFIG);
    return {
      unlock: () => unlock(),
      call: async (id) => {
        const env = { ...ENV, CNI_COMMAND: 'DEL', CNI_CONTAINERID: id };
        const output = await agent.serve({ plugin: 'cellnet', env, stdin });
        return output.exitCode === 0 ? undefined : reply(output).code;
      },
    };
  };
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test('of one attachment take turns; one more than 10 that wait is told to come back', async () => {
    const { call, unlock } = start();
    const first = call('c');
    await settled();
    const waiting = Array.from({ length: 10 }, () => call('c'));
    assert.equal(await call('c'), 11);
    const other = call('d');
    unlock();
    assert.deepEqual(new Set(await Promise.all([first, ...waiting, other])), new Set([undefined]));
    assert.equal(await call('c'), undefined);
  });

  test('whose configuration names another agent, or none, are declined', async () => {
    const own = '/run/cellnet/agent.sock';
    let shared: string | undefined;
    const platform: AgentPlatform = {
      forCall: () => node.fake.platform(),
      readShared: () => (shared === undefined ? undefined : { content: shared, file: 'config.json' }),
    };
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const { metrics } = new Watch('1.2.3', hostEffects, () => 0);
    const agent = new Agent(platform, metrics, log, hostEffects, (path) => path === own);
    const isServed = async (env: object, config: object): Promise<boolean> => {
      const stdin = JSON.stringify({ ...CONFIG, ...config });
      const call = { plugin: 'cellnet', env: { ...ENV, CNI_COMMAND: 'DEL', ...env }, stdin } as const;
      return await agent.serve(call).then(
        () => true,
        (error: unknown) => !(error instanceof CallDeclined),
      );
    };
    const other = '/run/other.sock';
    const results: [object, object, string | undefined, boolean][] = [
      [{}, {}, undefined, true],
      [{}, { agent: own }, undefined, true],
      [{}, { agent: other }, undefined, false],
      [{}, { agent: false }, undefined, false],
      [{}, { name: 'agent' }, undefined, true],
      [{}, {}, JSON.stringify({ agent: other }), false],
      [{}, { agent: own }, JSON.stringify({ agent: other }), true],
      [{ CELLNET_AGENT: own }, { agent: other }, undefined, true],
      [{ CELLNET_AGENT: other }, { agent: own }, undefined, false],
    ];
    for (const [env, config, file, expected] of results) {
      shared = file;
      assert.equal(await isServed(env, config), expected, JSON.stringify([env, config, file]));
    }
    assert.match(await metrics.text(), /cellnet_calls_under_way 0/);
  });

  test('more than 1,000 at once are told to come back', async () => {
    const { call, unlock } = start();
    const calls = Array.from({ length: 1_000 }, (_, i) => call(`c${i}`));
    assert.equal(await call('one-more'), 11);
    unlock();
    assert.deepEqual(new Set(await Promise.all(calls)), new Set([undefined]));
    assert.equal(await call('one-more'), undefined);
  });
});
