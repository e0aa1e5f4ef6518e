/** Running programs in pods, over plain HTTP, TLS with tokens, and what a server refuses. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import type { KubeError } from '../../../cni/kube/errors.ts';
import { connectWriter, type KubeWriter } from '../../../cni/kube/writer.ts';
import { makeCertificates, pod, type KubeApiOptions, type KubeApiServer } from '../../support/kube-api.ts';
import type { ExecCall, PodPrograms } from '../../support/kube-api-exec.ts';
import { isError, start, tempDir } from './setup.ts';

const AT = { namespace: 'kube-system', name: 'cellnet-a' };

async function world(
  t: TestContext,
  exec: PodPrograms,
  options: KubeApiOptions = {},
  user?: Record<string, unknown>,
): Promise<{ kube: KubeWriter; api: KubeApiServer }> {
  const { api, dir } = await start(t, { ...options, exec });
  api.putPod(pod({ namespace: AT.namespace, name: AT.name, node: 'node-1' }));
  api.writeKubeconfig(`${dir}/kubeconfig`, user);
  const kube = connectWriter({
    ...{ kubeconfig: `${dir}/kubeconfig`, env: {}, deadlineMs: 5_000, retryPauseMs: 5 },
    grant: 'Ask for the rights.',
  });
  t.after(() => kube.close());
  return { kube, api };
}

suite('a program in a pod', () => {
  test('both outputs whole, in many messages, and the words as they are', async (t) => {
    const calls: ExecCall[] = [];
    const long = 'é'.repeat(500_000);
    const { kube } = await world(t, (call) => {
      calls.push(call);
      return Promise.resolve({ stdout: long, stderr: 'told\n' });
    });
    const ended = await kube.exec(AT, 'cellnetd', ['cnictl', 'a b&c=d', '--x'], 5_000);
    assert.deepEqual(
      { ...ended, stdout: ended.stdout === long },
      {
        ...{ stdout: true, stderr: 'told\n', exitCode: 0, message: '' },
      },
    );
    assert.deepEqual(calls, [
      {
        namespace: 'kube-system',
        pod: 'cellnet-a',
        container: 'cellnetd',
        argv: ['cnictl', 'a b&c=d', '--x'],
      },
    ]);
  });

  test('an exit status is no error', async (t) => {
    const { kube } = await world(t, () => Promise.resolve({ stderr: 'no\n', code: 3 }));
    const { exitCode, stderr, message } = await kube.exec(AT, 'c', ['x'], 5_000);
    assert.deepEqual([exitCode, stderr], [3, 'no\n']);
    assert.match(message, /exit status 3/);
  });

  test('over TLS with a token file, which is read again when the server refuses its token', async (t) => {
    const tls = makeCertificates(tempDir(t));
    const ok = (): ReturnType<PodPrograms> => Promise.resolve({ stdout: 'ok' });
    const token = join(tempDir(t), 'token');
    writeFileSync(token, 'first');
    const { api, kube } = await world(t, ok, { tls, tokens: { first: 'alice' } }, { tokenFile: token });
    assert.equal((await kube.exec(AT, 'c', ['x'], 5_000)).stdout, 'ok');
    writeFileSync(token, 'second');
    api.tokens.clear();
    api.tokens.set('second', 'alice');
    assert.equal((await kube.exec(AT, 'c', ['x'], 5_000)).stdout, 'ok');
    api.tokens.clear();
    api.tokens.set('third', 'alice');
    await assert.rejects(kube.exec(AT, 'c', ['x'], 5_000), isError('unauthorized'));
  });

  test('a refusal names the right, a missing pod the pod', async (t) => {
    const { kube } = await world(t, () => Promise.resolve({}), {
      forbid: (_, verb, resource) => verb === 'create' && resource === 'pods/exec',
    });
    await assert.rejects(kube.exec(AT, 'c', ['x'], 5_000), (error: KubeError) => {
      assert.deepEqual([error.code, error.remedy], ['forbidden', 'Ask for the rights.']);
      return /pods\/exec/.test(error.message);
    });
    const other = await world(t, () => Promise.resolve({}));
    await assert.rejects(
      other.kube.exec({ ...AT, name: 'none' }, 'c', ['x'], 5_000),
      (error: KubeError) => error.status === 404,
    );
  });

  test('a server that accepts and falls silent, or hangs up, ends at the deadline or at once', async (t) => {
    const { kube } = await world(t, ({ argv }) => Promise.resolve(argv[0] === 'cut' ? 'cut' : 'hang'));
    const began = performance.now();
    await assert.rejects(kube.exec(AT, 'c', ['hang'], 300), isError('timeout'));
    await assert.rejects(kube.exec(AT, 'c', ['cut'], 5_000), isError('unreachable'));
    assert.ok(performance.now() - began < 3_000);
  });
});
