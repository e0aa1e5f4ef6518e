import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import * as v from 'valibot';
import { metricsPortSettings } from '../../../cni/agent/metrics-port-settings.ts';
import { decodeValue } from '../../../ipam/records/decode.ts';
import { settingsFromEnvironment } from '../../../ipam/settings/settings.ts';

const labels = v.record(v.string(), v.string());
const secretKey = v.strictObject({ name: v.string(), key: v.string() });

/** What kubectl merges into the DaemonSet: its lists have the names as keys. */
const patch = v.strictObject({
  spec: v.strictObject({
    template: v.strictObject({
      spec: v.strictObject({
        containers: v.tuple([
          v.strictObject({
            name: v.string(),
            ports: v.tuple([
              v.strictObject({ name: v.string(), containerPort: v.number(), protocol: v.literal('TCP') }),
            ]),
            env: v.array(v.strictObject({ name: v.string(), value: v.string() })),
            volumeMounts: v.tuple([
              v.strictObject({ name: v.string(), mountPath: v.string(), readOnly: v.literal(true) }),
            ]),
          }),
        ]),
        volumes: v.tuple([
          v.strictObject({
            name: v.string(),
            secret: v.strictObject({
              secretName: v.string(),
              optional: v.literal(true),
              defaultMode: v.literal(0o400),
            }),
          }),
        ]),
      }),
    }),
  }),
});

const podMonitor = v.strictObject({
  apiVersion: v.literal('monitoring.coreos.com/v1'),
  kind: v.literal('PodMonitor'),
  metadata: v.strictObject({ name: v.string(), namespace: v.string() }),
  spec: v.strictObject({
    jobLabel: v.string(),
    selector: v.strictObject({ matchLabels: labels }),
    podMetricsEndpoints: v.tuple([
      v.strictObject({
        port: v.string(),
        path: v.literal('/metrics'),
        scheme: v.literal('https'),
        interval: v.string(),
        tlsConfig: v.strictObject({
          serverName: v.string(),
          ca: v.strictObject({ secret: secretKey }),
          cert: v.strictObject({ secret: secretKey }),
          keySecret: secretKey,
        }),
        relabelings: v.array(v.strictObject({ sourceLabels: v.array(v.string()), targetLabel: v.string() })),
      }),
    ]),
  }),
});

const agents = v.object({
  kind: v.literal('DaemonSet'),
  metadata: v.object({ name: v.string(), namespace: v.string() }),
  spec: v.object({
    template: v.object({
      metadata: v.object({ labels }),
      spec: v.object({
        containers: v.array(
          v.object({ name: v.string(), volumeMounts: v.array(v.object({ name: v.string() })) }),
        ),
      }),
    }),
  }),
});

const read = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../../../docs/examples', name), 'utf8');

function decode<S extends v.GenericSchema>(schema: S, name: string): v.InferOutput<S> {
  const all = parseAllDocuments(read(name)).map((each) => each.toJS() as { kind?: string });
  const one = all.length === 1 ? all[0] : all.find(({ kind }) => kind === 'DaemonSet');
  const result = decodeValue(schema, one);
  if (!result.ok) assert.fail(`${name}: ${result.problem.message}`);
  return result.value;
}

suite('the manifests for metrics beyond the node', () => {
  const change = decode(patch, 'cellnet-metrics.yaml');
  const monitor = decode(podMonitor, 'cellnet-podmonitor.yaml');
  const daemonSet = decode(agents, 'cellnet-daemonset.yaml');
  const [container] = change.spec.template.spec.containers;
  const [volume] = change.spec.template.spec.volumes;

  test('the agent accepts the environment: TLS at the port that Kubernetes is told of', () => {
    const env = Object.fromEntries(container.env.map(({ name, value }) => [name, value]));
    const settings = metricsPortSettings(settingsFromEnvironment(env).metrics ?? {});
    assert.equal(settings?.address.port, container.ports[0].containerPort);
    const [mount] = container.volumeMounts;
    assert.equal(mount.name, volume.name);
    const files = Object.values(settings.tls ?? {});
    assert.equal(files.length, 3);
    assert.ok(files.every((file) => dirname(file) === mount.mountPath));
    const known = Object.keys(env).every((name) => read('cellnet-metrics.yaml').includes(`name: ${name},`));
    assert.ok(known && Object.keys(env).length === 1 + files.length, 'no variable that counts for nothing');
  });

  test('it changes the container of the DaemonSet, and none of its volumes', () => {
    const own = daemonSet.spec.template.spec.containers.find(({ name }) => name === container.name);
    assert.ok(own);
    assert.ok(own.volumeMounts.every(({ name }) => name !== volume.name));
    const { name, namespace } = daemonSet.metadata;
    assert.match(
      read('cellnet-metrics.yaml'),
      new RegExp(`kubectl -n ${namespace} patch daemonset ${name} --patch-file cellnet-metrics\\.yaml$`, 'm'),
    );
  });

  test('Prometheus finds the pods and their port, and trusts the CA of their certificate', () => {
    const { metadata, spec } = monitor;
    assert.equal(metadata.namespace, daemonSet.metadata.namespace);
    const podLabels = daemonSet.spec.template.metadata.labels;
    for (const [key, value] of Object.entries(spec.selector.matchLabels)) assert.equal(podLabels[key], value);
    // The alert rules know the agents by job="cellnet".
    assert.equal(podLabels[spec.jobLabel], 'cellnet');
    const [endpoint] = spec.podMetricsEndpoints;
    assert.equal(endpoint.port, container.ports[0].name);
    assert.equal(endpoint.tlsConfig.ca.secret.name, volume.secret.secretName);
  });
});
