import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import * as v from 'valibot';
import { parse, parseAllDocuments } from 'yaml';
import { checkConflist } from '../../../cnictl/install/network.ts';
import { decodeValue } from '../../../ipam/records/decode.ts';
import { parseSharedConfig } from '../../../ipam/settings/settings.ts';

const examples = join(import.meta.dirname, '../../../docs/examples');
const text = readFileSync(join(examples, 'cellnet-daemonset.yaml'), 'utf8');
const dockerfile = readFileSync(join(examples, 'Dockerfile'), 'utf8');

/**
 * The fields of the API's objects that the manifest uses. Any other key is misspelt, or needs
 * thought before its addition here.
 */
const name = v.pipe(v.string(), v.regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/));
const labels = v.record(v.string(), v.string());
const clusterMeta = v.strictObject({ name });
const meta = v.strictObject({ name, namespace: v.literal('kube-system'), labels: v.optional(labels) });
const strings = v.pipe(v.array(v.string()), v.minLength(1));
const absolute = v.pipe(v.string(), v.startsWith('/'));

const probe = v.strictObject({
  exec: v.strictObject({ command: strings }),
  initialDelaySeconds: v.optional(v.number()),
  periodSeconds: v.number(),
  /** Longer than the probe's own deadline: the kubelet's default is 1 s. */
  timeoutSeconds: v.pipe(v.number(), v.minValue(6)),
  failureThreshold: v.optional(v.number()),
  terminationGracePeriodSeconds: v.optional(v.number()),
});
const container = v.strictObject({
  name,
  /** A fixed tag, not `latest`. */
  image: v.pipe(v.string(), v.regex(/^[a-z0-9.-]+(\/[a-z0-9.-]+)+:(?!latest$)[A-Za-z0-9._-]+$/)),
  command: strings,
  env: v.optional(
    v.tuple([
      v.strictObject({
        name: v.literal('NODE_NAME'),
        valueFrom: v.strictObject({ fieldRef: v.strictObject({ fieldPath: v.literal('spec.nodeName') }) }),
      }),
    ]),
  ),
  resources: v.strictObject({
    requests: v.strictObject({
      cpu: v.pipe(v.string(), v.regex(/^\d+m$/)),
      memory: v.pipe(v.string(), v.regex(/^\d+Mi$/)),
    }),
  }),
  securityContext: v.strictObject({
    capabilities: v.strictObject({ drop: v.tuple([v.literal('ALL')]), add: v.optional(strings) }),
    appArmorProfile: v.optional(v.strictObject({ type: v.literal('Unconfined') })),
  }),
  startupProbe: v.optional(probe),
  readinessProbe: v.optional(probe),
  livenessProbe: v.optional(probe),
  volumeMounts: v.array(
    v.strictObject({
      name,
      mountPath: absolute,
      readOnly: v.optional(v.boolean()),
      mountPropagation: v.optional(v.literal('HostToContainer')),
    }),
  ),
});
const volume = v.union([
  v.strictObject({ name, configMap: v.strictObject({ name }) }),
  v.strictObject({
    name,
    hostPath: v.strictObject({ path: absolute, type: v.picklist(['DirectoryOrCreate', 'Directory']) }),
  }),
]);
const podSpec = v.strictObject({
  serviceAccountName: name,
  hostNetwork: v.literal(true),
  hostPID: v.literal(true),
  dnsPolicy: v.literal('ClusterFirstWithHostNet'),
  priorityClassName: v.literal('system-node-critical'),
  terminationGracePeriodSeconds: v.pipe(v.number(), v.minValue(31)),
  nodeSelector: labels,
  tolerations: v.tuple([v.strictObject({ operator: v.literal('Exists') })]),
  securityContext: v.strictObject({ seLinuxOptions: v.strictObject({ type: v.string() }) }),
  initContainers: v.array(container),
  containers: v.pipe(v.array(container), v.minLength(1)),
  volumes: v.array(volume),
});

const KINDS = {
  ServiceAccount: v.strictObject({
    apiVersion: v.literal('v1'),
    kind: v.literal('ServiceAccount'),
    metadata: meta,
  }),
  ClusterRole: v.strictObject({
    apiVersion: v.literal('rbac.authorization.k8s.io/v1'),
    kind: v.literal('ClusterRole'),
    metadata: clusterMeta,
    rules: v.array(
      v.strictObject({
        apiGroups: v.array(v.string()),
        resources: strings,
        resourceNames: v.optional(strings),
        verbs: strings,
      }),
    ),
  }),
  ClusterRoleBinding: v.strictObject({
    apiVersion: v.literal('rbac.authorization.k8s.io/v1'),
    kind: v.literal('ClusterRoleBinding'),
    metadata: clusterMeta,
    roleRef: v.strictObject({
      apiGroup: v.literal('rbac.authorization.k8s.io'),
      kind: v.literal('ClusterRole'),
      name,
    }),
    subjects: v.array(
      v.strictObject({ kind: v.literal('ServiceAccount'), name, namespace: v.literal('kube-system') }),
    ),
  }),
  ConfigMap: v.strictObject({
    apiVersion: v.literal('v1'),
    kind: v.literal('ConfigMap'),
    metadata: meta,
    data: v.record(v.string(), v.string()),
  }),
  DaemonSet: v.strictObject({
    apiVersion: v.literal('apps/v1'),
    kind: v.literal('DaemonSet'),
    metadata: meta,
    spec: v.strictObject({
      selector: v.strictObject({ matchLabels: labels }),
      updateStrategy: v.strictObject({
        type: v.literal('RollingUpdate'),
        rollingUpdate: v.strictObject({ maxUnavailable: v.literal(1) }),
      }),
      template: v.strictObject({
        metadata: v.strictObject({ labels }),
        spec: podSpec,
      }),
    }),
  }),
};
type Kind = keyof typeof KINDS;

const documents = parseAllDocuments(text).map((document) => {
  assert.deepEqual([...document.errors, ...document.warnings], []);
  return document.toJS() as { kind: string };
});

function object<K extends Kind>(kind: K): v.InferOutput<(typeof KINDS)[K]> {
  const found = documents.filter((document) => document.kind === kind);
  assert.equal(found.length, 1, `${kind}s`);
  const result = decodeValue(KINDS[kind], found[0]);
  if (!result.ok) assert.fail(`${kind}: ${result.problem.message}`);
  return result.value;
}

suite('the manifests of docs/examples/cellnet-daemonset.yaml', () => {
  test('are five objects, each with its required and known keys', () => {
    const kinds = Object.keys(KINDS) as Kind[];
    assert.deepEqual(documents.map(({ kind }) => kind).sort(), [...kinds].sort());
    for (const kind of kinds) object(kind);
  });

  test('the role looks at pods, nodes, namespaces, Services, their endpoints and StatefulSets only, and the pods have it', () => {
    assert.deepEqual(object('ClusterRole').rules, [
      { apiGroups: [''], resources: ['pods', 'nodes'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: [''], resources: ['services'], verbs: ['list', 'watch'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
      { apiGroups: ['apps'], resources: ['statefulsets'], verbs: ['list'] },
      { apiGroups: [''], resources: ['namespaces'], verbs: ['get'] },
    ]);
    const { roleRef, subjects } = object('ClusterRoleBinding');
    assert.equal(roleRef.name, object('ClusterRole').metadata.name);
    assert.deepEqual(
      subjects.map((each) => each.name),
      [object('ServiceAccount').metadata.name],
    );
    assert.equal(object('DaemonSet').spec.template.spec.serviceAccountName, subjects[0]?.name);
  });

  test('the selector matches the labels of the template', () => {
    const { selector, template } = object('DaemonSet').spec;
    for (const [key, value] of Object.entries(selector.matchLabels))
      assert.equal(template.metadata.labels[key], value);
  });

  test('every mount has its volume, every volume a mount, no path two', () => {
    const { initContainers, containers, volumes } = object('DaemonSet').spec.template.spec;
    const names = volumes.map((each) => each.name);
    assert.equal(new Set(names).size, names.length);
    const used = new Set<string>();
    for (const each of [...initContainers, ...containers]) {
      const paths = each.volumeMounts.map(({ mountPath }) => mountPath);
      assert.equal(new Set(paths).size, paths.length, each.name);
      for (const mount of each.volumeMounts) {
        assert.ok(names.includes(mount.name), `${each.name}: volume ${mount.name}`);
        used.add(mount.name);
      }
    }
    assert.deepEqual([...used].sort(), [...names].sort());
    const configMaps = volumes.flatMap((each) => ('configMap' in each ? each.configMap.name : []));
    assert.deepEqual(configMaps, [object('ConfigMap').metadata.name]);
  });

  test('what is mounted below /host is that folder of the host', () => {
    const { initContainers, volumes } = object('DaemonSet').spec.template.spec;
    for (const { name: volumeName, mountPath } of initContainers.flatMap((each) => each.volumeMounts)) {
      const found = volumes.find((each) => each.name === volumeName);
      if (found && 'hostPath' in found) assert.equal(mountPath, join('/host', found.hostPath.path));
    }
  });

  test('the agent sees namespaces as they are made, its socket, state and Open vSwitch; it is not privileged', () => {
    const [agent] = object('DaemonSet').spec.template.spec.containers;
    const mounts = new Map(agent?.volumeMounts.map((each) => [each.mountPath, each]));
    for (const path of ['/run/netns', '/var/run/netns'])
      assert.equal(mounts.get(path)?.mountPropagation, 'HostToContainer', path);
    for (const path of ['/run/cellnet', '/var/lib/cellnet', '/var/run/openvswitch'])
      assert.ok(mounts.has(path) && mounts.get(path)?.readOnly !== true, path);
    assert.equal(mounts.get('/etc/cellnet')?.readOnly, true);
    assert.deepEqual(agent?.securityContext.capabilities.add, [
      'NET_ADMIN',
      'NET_RAW',
      'SYS_ADMIN',
      'SYS_PTRACE',
      'DAC_OVERRIDE',
    ]);
    // A question that needs an answer: the socket of an agent that hangs exists too.
    for (const each of [agent.startupProbe, agent.livenessProbe, agent.readinessProbe])
      assert.deepEqual(each?.exec.command, ['/opt/cellnet/bin/cellnet', '--probe']);
    assert.match(dockerfile, /^RUN sh image-root\.sh dist .* \/image$/m);
    assert.match(dockerfile, /^COPY --from=build \/image \/$/m);
    assert.equal(agent.securityContext.appArmorProfile?.type, 'Unconfined');
    assert.ok((agent.startupProbe?.initialDelaySeconds ?? 0) > 3, 'it does not fail at a good start');
  });

  test('the embedded configurations are accepted, and the init containers put them in place', () => {
    const { data } = object('ConfigMap');
    assert.deepEqual(Object.keys(data).sort(), ['10-cell.conflist', 'config.json']);
    checkConflist(data['10-cell.conflist'] ?? '', 'the ConfigMap');
    assert.ok(parseSharedConfig(data['config.json'] ?? '', 'the ConfigMap').etcd?.endpoints?.length);
    const [install] = object('DaemonSet').spec.template.spec.initContainers;
    assert.equal(
      install?.command.join(' '),
      'cnictl node install --root /host --no-systemd --config-from /config/config.json' +
        ' --node-name $(NODE_NAME) --conf-from /config/10-cell.conflist --replace-edited',
    );
    assert.equal(install.env?.[0].valueFrom.fieldRef.fieldPath, 'spec.nodeName');
    const shared = install.volumeMounts.find(({ mountPath }) => mountPath === '/host/etc/cellnet');
    assert.ok(shared && shared.readOnly !== true);
  });

  test('one image, that of the Dockerfile, whose own images have tags too', () => {
    const { initContainers, containers } = object('DaemonSet').spec.template.spec;
    const images = new Set([...initContainers, ...containers].map(({ image }) => image));
    assert.equal(images.size, 1);
    assert.ok(dockerfile.includes(`-t ${[...images][0] ?? ''} `));
    const from = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image ?? '');
    assert.equal(from.length, 2);
    assert.match(from[0] ?? '', /:\d+\.\d+\.\d+-[a-z-]+$/);
    assert.equal(from[1], 'scratch');
  });

  test('the kustomization is made of the manifests as they are', () => {
    const kustomization = v.strictObject({
      apiVersion: v.literal('kustomize.config.k8s.io/v1beta1'),
      kind: v.literal('Kustomization'),
      resources: v.tuple([v.literal('cellnet-daemonset.yaml'), v.literal('cellnet-check.yaml')]),
    });
    const file = readFileSync(join(examples, 'kustomization.yaml'), 'utf8');
    v.parse(kustomization, parse(file));
    const overlay = file
      .split('\n')
      .filter((line) => line.startsWith('#     '))
      .map((line) => line.slice(6));
    const { images } = v.parse(
      v.looseObject({
        images: v.tuple([v.strictObject({ name: v.string(), newName: v.string(), newTag: v.string() })]),
      }),
      parse(overlay.join('\n')),
    );
    const { initContainers } = object('DaemonSet').spec.template.spec;
    assert.equal(`${images[0].name}:${images[0].newTag}`, initContainers[0]?.image);
  });

  test('the image of the examples has the version of package.json', () => {
    const { version } = JSON.parse(readFileSync(join(examples, '../../package.json'), 'utf8')) as {
      version: string;
    };
    for (const file of [
      'Dockerfile',
      'cellnet-daemonset.yaml',
      'cellnet-check.yaml',
      'cellnet-uninstall.yaml',
    ])
      for (const [image, tag] of readFileSync(join(examples, file), 'utf8').matchAll(
        /example\.org\/cellnet:(\S+)/g,
      ))
        assert.equal(tag, version, `${file}: ${image}`);
  });

  test('the Dockerfile copies what the build reads', () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, paths = '']) =>
      paths.split(' '),
    );
    const build = readFileSync(join(examples, '../../build.mjs'), 'utf8');
    const imported = [...build.matchAll(/from '\.\/(.+)'/g)].map(([, file = '']) => file);
    const sources = [...build.matchAll(/entry: '(\w+)\//g)].map(([, folder = '']) => folder);
    assert.ok(imported.length > 0 && sources.length > 0);
    for (const path of ['package.json', 'package-lock.json', 'build.mjs', 'ipam', ...imported, ...sources])
      assert.ok(copied.includes(path), path);
  });
});

suite('the manifest of docs/examples/cellnet-uninstall.yaml', () => {
  const [only, ...others] = parseAllDocuments(
    readFileSync(join(examples, 'cellnet-uninstall.yaml'), 'utf8'),
  ).map((document) => document.toJS() as unknown);
  const schema = v.object({
    kind: v.literal('DaemonSet'),
    spec: v.object({
      selector: v.object({ matchLabels: labels }),
      template: v.object({
        metadata: v.object({ labels }),
        spec: v.object({
          tolerations: podSpec.entries.tolerations,
          nodeSelector: labels,
          initContainers: v.tuple([container]),
          containers: v.tuple([container]),
          volumes: v.array(volume),
        }),
      }),
    }),
  });
  const spec = (): v.InferOutput<typeof schema>['spec'] => {
    const result = decodeValue(schema, only);
    if (!result.ok) assert.fail(result.problem.message);
    return result.value.spec;
  };

  test('runs on the nodes of the other one, and its own pods are its own', () => {
    const { selector, template } = spec();
    const installing = object('DaemonSet').spec;
    assert.deepEqual(others, []);
    assert.deepEqual(template.metadata.labels, selector.matchLabels);
    assert.notDeepEqual(selector.matchLabels, installing.selector.matchLabels);
    assert.deepEqual(template.spec.nodeSelector, installing.template.spec.nodeSelector);
    assert.equal(template.spec.initContainers[0].image, installing.template.spec.containers[0]?.image);
  });

  test('finds everything that the other one made, and the state that forbids it', () => {
    const { initContainers, volumes } = spec().template.spec;
    const [uninstall] = initContainers;
    assert.equal(uninstall.command.join(' '), 'cnictl node uninstall --root /host --yes');
    const paths = uninstall.volumeMounts.map(({ mountPath }) => mountPath);
    const made = object('DaemonSet').spec.template.spec.initContainers.flatMap((each) => each.volumeMounts);
    for (const { mountPath } of made)
      assert.ok(paths.includes(mountPath) || ['/config', '/host/etc/cellnet'].includes(mountPath), mountPath);
    assert.ok(paths.includes('/host/var/lib/cellnet'));
    const hosts = volumes.map((each) => ('hostPath' in each ? join('/host', each.hostPath.path) : ''));
    assert.deepEqual([...hosts].sort(), [...paths].sort());
  });
});
