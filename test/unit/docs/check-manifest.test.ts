import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import * as v from 'valibot';
import { parseAllDocuments } from 'yaml';
import { parseListenAddress } from '../../../cnictl/check/metrics-listen.ts';
import { decodeValue } from '../../../ipam/records/decode.ts';
import { parseSharedConfig } from '../../../ipam/settings/settings.ts';
import { CliWorld } from '../../golden/world.ts';

const examples = join(import.meta.dirname, '../../../docs/examples');
const documents = parseAllDocuments(readFileSync(join(examples, 'cellnet-check.yaml'), 'utf8')).map(
  (document) => {
    assert.deepEqual([...document.errors, ...document.warnings], []);
    return document.toJS() as { kind: string };
  },
);

/**
 * The fields of the API's objects that the manifest uses, as for the DaemonSet. Any other key is
 * misspelt.
 */
const NAME = 'cellnet-check';
const name = v.literal(NAME);
const labels = v.record(v.string(), v.string());
const meta = v.strictObject({ name, namespace: v.literal('kube-system'), labels: v.optional(labels) });
const clusterMeta = v.strictObject({ name });
const strings = v.pipe(v.array(v.string()), v.minLength(1));
const probe = v.strictObject({
  httpGet: v.strictObject({ host: v.string(), port: v.number(), path: v.picklist(['/healthz', '/metrics']) }),
  initialDelaySeconds: v.optional(v.number()),
  periodSeconds: v.number(),
  timeoutSeconds: v.optional(v.number()),
  failureThreshold: v.optional(v.number()),
});
const memory = v.pipe(v.string(), v.regex(/^\d+Mi$/));
const container = v.strictObject({
  name: v.string(),
  image: v.string(),
  command: strings,
  resources: v.strictObject({
    requests: v.strictObject({ cpu: v.pipe(v.string(), v.regex(/^\d+m$/)), memory }),
    limits: v.strictObject({ memory }),
  }),
  securityContext: v.strictObject({
    allowPrivilegeEscalation: v.literal(false),
    readOnlyRootFilesystem: v.literal(true),
    capabilities: v.strictObject({ drop: v.tuple([v.literal('ALL')]) }),
  }),
  readinessProbe: probe,
  livenessProbe: probe,
  volumeMounts: v.array(
    v.strictObject({ name: v.string(), mountPath: v.string(), readOnly: v.literal(true) }),
  ),
});
const volume = v.union([
  v.strictObject({ name: v.string(), configMap: v.strictObject({ name }) }),
  v.strictObject({
    name: v.string(),
    secret: v.strictObject({
      secretName: v.string(),
      defaultMode: v.literal(0o440),
      optional: v.literal(true),
    }),
  }),
]);
const KINDS = {
  ServiceAccount: v.strictObject({ apiVersion: v.literal('v1'), kind: v.string(), metadata: meta }),
  ClusterRole: v.strictObject({
    apiVersion: v.literal('rbac.authorization.k8s.io/v1'),
    kind: v.string(),
    metadata: clusterMeta,
    rules: v.array(
      v.strictObject({
        apiGroups: v.tuple([v.picklist(['', 'apps'])]),
        resources: strings,
        resourceNames: v.optional(strings),
        verbs: strings,
      }),
    ),
  }),
  ClusterRoleBinding: v.strictObject({
    apiVersion: v.literal('rbac.authorization.k8s.io/v1'),
    kind: v.string(),
    metadata: clusterMeta,
    roleRef: v.strictObject({
      apiGroup: v.literal('rbac.authorization.k8s.io'),
      kind: v.literal('ClusterRole'),
      name,
    }),
    subjects: v.tuple([
      v.strictObject({ kind: v.literal('ServiceAccount'), name, namespace: v.literal('kube-system') }),
    ]),
  }),
  ConfigMap: v.strictObject({
    apiVersion: v.literal('v1'),
    kind: v.string(),
    metadata: meta,
    data: v.strictObject({ 'config.json': v.string() }),
  }),
  Deployment: v.strictObject({
    apiVersion: v.literal('apps/v1'),
    kind: v.string(),
    metadata: meta,
    spec: v.strictObject({
      replicas: v.literal(1),
      selector: v.strictObject({ matchLabels: labels }),
      strategy: v.strictObject({ type: v.literal('Recreate') }),
      template: v.strictObject({
        metadata: v.strictObject({ labels }),
        spec: v.strictObject({
          serviceAccountName: name,
          hostNetwork: v.literal(true),
          dnsPolicy: v.literal('ClusterFirstWithHostNet'),
          priorityClassName: v.literal('system-cluster-critical'),
          terminationGracePeriodSeconds: v.number(),
          nodeSelector: labels,
          securityContext: v.strictObject({
            runAsNonRoot: v.literal(true),
            runAsUser: v.pipe(v.number(), v.minValue(1)),
            runAsGroup: v.number(),
            fsGroup: v.number(),
          }),
          containers: v.tuple([container]),
          volumes: v.array(volume),
        }),
      }),
    }),
  }),
};
type Kind = keyof typeof KINDS;

function object<K extends Kind>(kind: K): v.InferOutput<(typeof KINDS)[K]> {
  const found = documents.filter((document) => document.kind === kind);
  assert.equal(found.length, 1, `${kind}s`);
  const result = decodeValue(KINDS[kind], found[0]);
  if (!result.ok) assert.fail(`${kind}: ${result.problem.message}`);
  return result.value;
}

suite('the manifests of docs/examples/cellnet-check.yaml', () => {
  const deployment = object('Deployment').spec;
  const [container] = deployment.template.spec.containers;

  test('are five objects, each with its required and known keys', () => {
    const kinds = Object.keys(KINDS) as Kind[];
    assert.deepEqual(documents.map(({ kind }) => kind).sort(), [...kinds].sort());
    for (const kind of kinds) object(kind);
  });

  test('the role is what a check asks for, and writes nothing', () => {
    assert.deepEqual(object('ClusterRole').rules, [
      { apiGroups: [''], resources: ['pods', 'nodes'], verbs: ['get', 'list'] },
      { apiGroups: ['apps'], resources: ['statefulsets'], verbs: ['list'] },
      { apiGroups: [''], resources: ['namespaces'], resourceNames: ['kube-system'], verbs: ['get'] },
    ]);
  });

  test('the selector matches, every mount has its volume, and the image is that of the DaemonSet', () => {
    assert.deepEqual(deployment.selector.matchLabels, deployment.template.metadata.labels);
    const volumes = deployment.template.spec.volumes.map((each) => each.name);
    assert.deepEqual(container.volumeMounts.map((each) => each.name).sort(), volumes.sort());
    const daemonSet = readFileSync(join(examples, 'cellnet-daemonset.yaml'), 'utf8');
    assert.ok(daemonSet.includes(`image: ${container.image}\n`));
  });

  test('the configuration is accepted, and its files are where the secret is mounted', () => {
    const { etcd } = parseSharedConfig(object('ConfigMap').data['config.json'], 'the ConfigMap');
    assert.equal(etcd?.endpoints?.length, 3);
    const mount = container.volumeMounts.find((each) => each.name === 'etcd')?.mountPath ?? '';
    for (const file of [etcd.caFile, etcd.certFile, etcd.keyFile])
      assert.ok(file?.startsWith(`${mount}/`), file);
  });

  test('cnictl takes the command, and the probes ask where it listens', async () => {
    const [program, ...args] = container.command;
    assert.equal(program, 'cnictl');
    const at = args.indexOf('--metrics-listen') + 1;
    const { host, port } = parseListenAddress(args[at] ?? '');
    for (const { httpGet } of [container.readinessProbe, container.livenessProbe])
      assert.deepEqual([httpGet.host, httpGet.port], [host, port]);
    const world = await CliWorld.make();
    world.meanwhile = () => {
      if (world.pauses.length > 1) world.stop.abort();
      return Promise.resolve();
    };
    const ran = await world.run(args.with(at, '127.0.0.1:0'));
    assert.equal(ran.status, 0, ran.stderr);
    assert.deepEqual(world.pauses, [60_000, 300_000]);
    assert.equal(world.ipam.given().size, 4);
  });
});
