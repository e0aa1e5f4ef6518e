import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { DAEMON_SET, NAMESPACE, NODE, POD, SERVICE } from '../../../cni/kube/object-types.ts';
import { connectWriter, type KubeWriter, type NewObject } from '../../../cni/kube/writer.ts';
import { node, namespace, type KubeApiOptions, type KubeApiServer } from '../../support/kube-api.ts';
import { isError, start } from './setup.ts';

interface Writing {
  readonly api: KubeApiServer;
  readonly kube: KubeWriter;
  /** POSTs and DELETEs that reached the server. */
  readonly changes: () => string[];
}

async function writing(t: TestContext, forbid?: KubeApiOptions['forbid']): Promise<Writing> {
  const writes = {
    serviceSubnets: ['10.96.0.', 'fd00:96::'],
    accountAfterMs: 0,
    log: (_: string, pod: string) => (pod === 'web' ? 'line 1\nline 2\n' : undefined),
  };
  const { api, dir } = await start(t, { writes, ...(forbid && { forbid }) });
  api.writeKubeconfig(`${dir}/kubeconfig`);
  const kube = connectWriter({
    ...{ kubeconfig: `${dir}/kubeconfig`, env: {}, deadlineMs: 5_000, retryPauseMs: 5 },
    grant: 'Ask for the rights.',
  });
  t.after(() => kube.close());
  const changes = (): string[] =>
    api.requests.filter(({ method }) => method !== 'GET').map(({ method, path }) => `${method} ${path}`);
  return { api, kube, changes };
}

const named = (name: string, run = 'r1'): NewObject => ({ metadata: { name, labels: { run } } });
const podNamed = (name: string): NewObject => ({ ...named(name), spec: { containers: [{ name: 'main' }] } });
const uidIn = (object: unknown): string => (object as { metadata: { uid: string } }).metadata.uid;

suite('what makes and deletes objects', () => {
  test('makes, gets, lists and deletes', async (t) => {
    const { api, kube } = await writing(t);
    assert.equal(await kube.get(NAMESPACE, { name: 'shop' }), undefined);
    await kube.create(NAMESPACE, undefined, named('shop'));
    const made = await kube.create(POD, 'shop', podNamed('web'));
    const ports = [{ name: 'http', port: 80, protocol: 'TCP', targetPort: 8080 }];
    const spec = { type: 'NodePort', ports, ipFamilyPolicy: 'PreferDualStack' };
    const service = await kube.create(SERVICE, 'shop', { ...named('web'), spec });
    assert.match(JSON.stringify(service), /"clusterIPs":\["10\.96\.0\.\d+","fd00:96::[0-9a-f]+"\]/);
    assert.match(JSON.stringify(service), /"nodePort":301\d\d/);
    assert.equal((await kube.list(POD, { namespace: 'shop' })).length, 1);
    assert.equal(await kube.log({ namespace: 'shop', name: 'web' }, 'main'), 'line 1\nline 2\n');
    await kube.remove(POD, { namespace: 'shop', name: 'web' }, uidIn(made));
    assert.ok(api.pods.get('shop/web')?.metadata.deletionTimestamp);
    await kube.remove(SERVICE, { namespace: 'shop', name: 'web' }, uidIn(service));
    assert.equal(await kube.get(SERVICE, { namespace: 'shop', name: 'web' }), undefined);
  });

  test('lists cluster-wide objects and those of a selector, over pages', async (t) => {
    const { api, kube } = await writing(t);
    for (let i = 0; i < 501; i++) api.putNode(node({ name: `n${i}` }));
    assert.equal((await kube.list(NODE)).length, 501);
    assert.deepEqual(await kube.list(DAEMON_SET, { labelSelector: 'app.kubernetes.io/name=cellnet' }), []);
  });

  test('a name that is taken: 409, and nothing of the other is touched', async (t) => {
    const { api, kube, changes } = await writing(t);
    const other = api.namespaces.put(namespace('shop'));
    await assert.rejects(kube.create(NAMESPACE, undefined, named('shop')), (error) => {
      assert.equal((error as { status?: number }).status, 409);
      return isError('refused', /namespaces "shop" already exists/)(error);
    });
    assert.equal(uidIn(api.namespaces.get('/shop')), other.metadata.uid);
    assert.deepEqual(changes(), ['POST /api/v1/namespaces']);
  });

  test('an answer that got lost: it looks, and finds its own', async (t) => {
    const { api, kube, changes } = await writing(t);
    api.faults.push({ kind: 'cut', afterBytes: 0 });
    const made = await kube.create(NAMESPACE, undefined, named('shop'));
    assert.equal(uidIn(made), uidIn(api.namespaces.get('/shop')));
    assert.deepEqual(changes(), ['POST /api/v1/namespaces']);
  });

  test('a request that got lost is sent again', async (t) => {
    const { api, kube, changes } = await writing(t);
    api.faults.push({ kind: 'reset' });
    await kube.create(NAMESPACE, undefined, named('shop'));
    assert.equal(changes().length, 2);
    assert.ok(api.namespaces.get('/shop'));
  });

  test('an unclear failure, and the name is taken meanwhile by somebody else: 409', async (t) => {
    const { api, kube } = await writing(t);
    api.faults.push({ kind: 'reset' });
    const creating = kube.create(NAMESPACE, undefined, named('shop'));
    api.namespaces.put(namespace('shop'));
    await assert.rejects(creating, isError('refused', /already exists/));
  });

  test('deletes only the object with that UID, and only once', async (t) => {
    const { api, kube } = await writing(t);
    const { metadata } = api.namespaces.put(namespace('shop'));
    await kube.remove(NAMESPACE, { name: 'shop' }, 'another');
    assert.equal(api.namespaces.get('/shop')?.metadata.deletionTimestamp, undefined);
    api.faults.push({ kind: 'cut', afterBytes: 0 });
    await kube.remove(NAMESPACE, { name: 'shop' }, metadata.uid);
    assert.ok(api.namespaces.get('/shop')?.metadata.deletionTimestamp);
    api.namespaces.delete('/shop');
    await kube.remove(NAMESPACE, { name: 'shop' }, metadata.uid);
  });

  test('what is forbidden is named, with the remedy of the command', async (t) => {
    const forbid = (_: string, verb: string, resource: string): boolean =>
      verb !== 'list' && resource !== 'namespaces';
    const { api, kube } = await writing(t, forbid);
    api.namespaces.put(namespace('shop'));
    const refusal = (verb: string, resource: string) => (error: unknown) => {
      assert.equal((error as { remedy?: string }).remedy, 'Ask for the rights.');
      const text = `the verb "${verb}" on the resource "${resource}" of the core API group, in the namespace shop`;
      return isError('forbidden', new RegExp(text))(error);
    };
    await assert.rejects(kube.create(POD, 'shop', podNamed('web')), refusal('create', 'pods'));
    await assert.rejects(
      kube.remove(POD, { namespace: 'shop', name: 'web' }, 'u'),
      refusal('delete', 'pods'),
    );
    await assert.rejects(kube.log({ namespace: 'shop', name: 'web' }, 'main'), refusal('get', 'pods/log'));
  });

  test('an object that the server does not take, and a log that is not there yet', async (t) => {
    const { kube } = await writing(t);
    await kube.create(NAMESPACE, undefined, named('shop'));
    await assert.rejects(
      kube.create(POD, 'shop', named('web')),
      isError('refused', /spec.containers: Required/),
    );
    await assert.rejects(kube.create(POD, 'other', podNamed('web')), isError('refused', /"other" not found/));
    await kube.create(POD, 'shop', podNamed('slow'));
    await assert.rejects(
      kube.log({ namespace: 'shop', name: 'slow' }, 'main'),
      isError('refused', /waiting to start/),
    );
    await assert.rejects(kube.create(POD, '../x', podNamed('web')), isError('malformed'));
  });
});
