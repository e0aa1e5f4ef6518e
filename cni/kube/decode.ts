import { isIP } from 'node:net';
import { formatAddress, parseAddress } from '../../ipam/model/address.ts';
import type { Node, Pod } from './api.ts';

/** A value violates the Kubernetes API's schema. `path` locates it within the decoded object. */
export class DecodeError extends Error {
  readonly path: string;

  constructor(path: string, expected: string, found: unknown) {
    super(`${path}: expected ${expected}, found ${show(found)}`);
    this.name = 'DecodeError';
    this.path = path;
  }
}

export type Json = Readonly<Record<string, unknown>>;

/** Returns one shared copy of equal strings: half a million pods share few namespaces and nodes. */
export type Intern = (text: string) => string;

/** @param limit of the number of strings, for an interner that lives on. It then forgets all. */
export function interner(limit = Infinity): Intern {
  const kept = new Map<string, string>();
  return (text) => {
    const known = kept.get(text);
    if (known !== undefined) return known;
    if (kept.size >= limit) kept.clear();
    kept.set(text, text);
    return text;
  };
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

export function asObject(value: unknown, path: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DecodeError(path, 'an object', value);
  }
  return value as Json;
}

/** Returns an answer that has the kind. @throws DecodeError */
export function ofKind(value: unknown, kind: string): unknown {
  const found = asObject(value, 'the answer')['kind'];
  if (found !== kind) throw new DecodeError('kind', `"${kind}"`, found);
  return value;
}

export function asArray(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new DecodeError(path, 'an array', value);
  return value;
}

export function asText(value: unknown, path: string): string {
  if (typeof value !== 'string' || value === '')
    throw new DecodeError(path, 'a text that is not empty', value);
  return value;
}

/** Returns undefined for absent, null and empty, which mean the same in Go's JSON (`omitempty`). */
export function asOptionalText(value: unknown, path: string): string | undefined {
  return value === undefined || value === null || value === '' ? undefined : asText(value, path);
}

function asOptionalBoolean(value: unknown, path: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw new DecodeError(path, 'true or false', value);
  return value;
}

function asTime(value: unknown, path: string): string {
  const text = asText(value, path);
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(text) || Number.isNaN(Date.parse(text))) {
    throw new DecodeError(path, 'a time such as 2026-01-31T12:00:00Z', value);
  }
  return text;
}

/** Returns the one spelling of the address: an IPv6 address has many, and callers compare texts. */
function asIp(value: unknown, path: string): string {
  const text = asText(value, path);
  const version = isIP(text);
  if (version === 0 || text.includes('%')) throw new DecodeError(path, 'an IP address', value);
  return version === 4 ? text : formatAddress(parseAddress(text));
}

function asSubnet(value: unknown, path: string): string {
  const text = asText(value, path);
  const [address = '', length = '', ...rest] = text.split('/');
  const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  if (rest.length > 0 || !/^\d{1,3}$/.test(length) || Number(length) > bits)
    throw new DecodeError(path, 'a subnet such as 10.244.1.0/24', value);
  return text;
}

/** Reads `status.podIPs`, and `status.podIP` where an older kubelet wrote only that field. */
function decodePodIPs(status: Json): readonly string[] {
  const ips = (
    status['podIPs'] === undefined || status['podIPs'] === null
      ? []
      : asArray(status['podIPs'], 'status.podIPs')
  ).map((entry, i) => asIp(asObject(entry, `status.podIPs[${i}]`)['ip'], `status.podIPs[${i}].ip`));
  const text = asOptionalText(status['podIP'], 'status.podIP');
  const first = text === undefined ? undefined : asIp(text, 'status.podIP');
  return first === undefined || ips.includes(first) ? ips : [first, ...ips];
}

const CONTAINER_STATUSES = [
  'containerStatuses',
  'initContainerStatuses',
  'ephemeralContainerStatuses',
] as const;

/** Tells whether one of these container statuses has `state.running`, as opposed to an end. */
function reportsRunning(statuses: unknown, path: string): boolean {
  if (statuses === undefined || statuses === null) return false;
  return asArray(statuses, path).some((entry, i) => {
    const { state } = asObject(entry, `${path}[${i}]`);
    if (state === undefined || state === null) return false;
    const { running } = asObject(state, `${path}[${i}].state`);
    return running !== undefined && running !== null;
  });
}

/**
 * Decodes the fields of one pod (core/v1) that cellnet keeps. Spec, status and the fields that
 * every stored pod has are required: a default for a missing field could make a running pod look
 * ended, or look as if it ran on another node.
 * @throws DecodeError
 */
export function decodePod(value: unknown, intern: Intern): Pod {
  const pod = asObject(value, 'pod');
  const metadata = asObject(pod['metadata'], 'metadata');
  const spec = asObject(pod['spec'], 'spec');
  const status = asObject(pod['status'], 'status');
  const configHash = decodeConfigHash(metadata['annotations']);
  const nodeName = asOptionalText(spec['nodeName'], 'spec.nodeName');
  const deleted = metadata['deletionTimestamp'];
  return {
    namespace: intern(asText(metadata['namespace'], 'metadata.namespace')),
    name: asText(metadata['name'], 'metadata.name'),
    uid: asText(metadata['uid'], 'metadata.uid'),
    ...(configHash === undefined ? {} : { configHash }),
    ...(nodeName === undefined ? {} : { nodeName: intern(nodeName) }),
    phase: intern(asText(status['phase'], 'status.phase')),
    hasRunningContainer: CONTAINER_STATUSES.some((field) => reportsRunning(status[field], `status.${field}`)),
    hostNetwork: asOptionalBoolean(spec['hostNetwork'], 'spec.hostNetwork'),
    ...(deleted === undefined || deleted === null
      ? {}
      : { deletionTimestamp: asTime(deleted, 'metadata.deletionTimestamp') }),
    podIPs: decodePodIPs(status),
    createdAt: intern(asTime(metadata['creationTimestamp'], 'metadata.creationTimestamp')),
  };
}

function decodeConfigHash(annotations: unknown): string | undefined {
  if (annotations === undefined || annotations === null) return undefined;
  const key = 'kubernetes.io/config.hash';
  return asOptionalText(asObject(annotations, 'metadata.annotations')[key], `metadata.annotations['${key}']`);
}

const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** @throws DecodeError */
export function decodeNode(value: unknown): Node {
  const node = asObject(value, 'node');
  const metadata = asObject(node['metadata'], 'metadata');
  const status = asObject(node['status'], 'status');
  const podCIDRs = decodePodCIDRs(asObject(node['spec'] ?? {}, 'spec'));
  const labels = asObject(metadata['labels'] ?? {}, 'metadata.labels');
  const zone = asOptionalText(labels[ZONE_LABEL], `metadata.labels['${ZONE_LABEL}']`);
  const conditions = asArray(status['conditions'] ?? [], 'status.conditions').map((condition, i) =>
    asObject(condition, `status.conditions[${i}]`),
  );
  return {
    name: asText(metadata['name'], 'metadata.name'),
    uid: asText(metadata['uid'], 'metadata.uid'),
    ready: conditions.some((condition) => condition['type'] === 'Ready' && condition['status'] === 'True'),
    ...(podCIDRs.length > 0 && { podCIDRs }),
    ...(zone !== undefined && { zone }),
  };
}

/** Reads `spec.podCIDRs`, and `spec.podCIDR` where it is the only one of the two. */
function decodePodCIDRs(spec: Json): readonly string[] {
  const listed = spec['podCIDRs'];
  if (listed !== undefined && listed !== null)
    return asArray(listed, 'spec.podCIDRs').map((each, i) => asSubnet(each, `spec.podCIDRs[${i}]`));
  const first = asOptionalText(spec['podCIDR'], 'spec.podCIDR');
  return first === undefined ? [] : [asSubnet(first, 'spec.podCIDR')];
}
