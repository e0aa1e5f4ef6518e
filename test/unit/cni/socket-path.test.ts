import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { suite, test } from 'node:test';
import { agentOf } from '../../../cni/agent/path.ts';
import { RootSocket } from '../../../cni/agent/unix-socket.ts';
import { parseRemote } from '../../../cni/ovsdb/remote.ts';
import { CONFIG, reply, useFakeNode } from './fake-platform.ts';

suite('the path of a unix socket', () => {
  const node = useFakeNode();
  // Two bytes in UTF-8 each.
  const long = `/${'ä'.repeat(53)}b`;
  const longest = long.slice(0, -1);

  const places: [what: string, env: Record<string, string>, config: object, key: string][] = [
    ['CELLNET_AGENT', { CELLNET_AGENT: long }, {}, 'agent'],
    ['key agent', {}, { agent: long }, 'agent'],
    ['CELLNET_OVSDB', { CELLNET_OVSDB: `unix:${long}` }, {}, 'ovsdb'],
    ['key ovsdb', {}, { ovsdb: `unix:${long}` }, 'ovsdb'],
  ];
  for (const [what, env, config, key] of places) {
    test(`of 108 bytes by ${what} is refused, save by DEL`, async () => {
      const { code, msg } = reply(await node.call(env, config));
      assert.equal(code, 7);
      assert.ok(msg?.startsWith(`key '${key}' is "/`), msg);
      assert.match(msg ?? '', /of 108 bytes: expected a socket path of at most 107 bytes$/);
      assert.deepEqual(node.fake.calls, []);
      await node.call();
      assert.equal((await node.call({ ...env, CNI_COMMAND: 'DEL' }, config)).stdout, '');
      assert.equal(node.fake.world.given().size, 0);
    });
  }

  test('of 107 bytes is right', async () => {
    assert.equal(parseRemote(`unix:${longest}`).path, longest);
    const config = { agent: longest, ovsdb: `unix:${longest}` };
    assert.equal(reply(await node.call({}, config)).msg, undefined);
    const input = { env: {}, stdin: JSON.stringify({ ...CONFIG, ...config }), sharedConfig: undefined };
    assert.equal(agentOf(input), longest);
  });

  test('of 108 bytes is no agent, no remote, and nothing to listen at', async () => {
    assert.equal(agentOf({ env: { CELLNET_AGENT: long }, stdin: '{}', sharedConfig: undefined }), false);
    assert.throws(() => parseRemote(`unix:${long}`), { code: 'protocol', message: /has 108 bytes/ });
    await assert.rejects(RootSocket.listen(createServer(), long), /has 108 bytes: expected a socket path/);
  });
});
