import { accessSync, readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
// The package's root would load the whole generated API, which cellnet does not use.
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { Cluster, Context, User } from '@kubernetes/client-node/dist/config_types.js';
import { parse as parseYaml } from 'yaml';
import { KubeError, reasonOf } from './errors.ts';

/** One cluster and this client's user there, from a kubeconfig or this pod's service account. */
export interface Target {
  readonly cluster: Cluster;
  readonly user: User;
  /** Every session rereads this file, because the kubelet replaces it. */
  readonly tokenFile?: string;
  /** Names the origin of the target in messages. */
  readonly source: string;
}

export interface FindOptions {
  /** From the command-line flag; takes precedence over the environment. */
  readonly kubeconfig?: string;
  /** From cellnet's configuration file; KUBECONFIG takes precedence. */
  readonly configuredKubeconfig?: string;
  /** Replaces the current context. */
  readonly context?: string;
  /** Supplies KUBECONFIG, HOME, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. */
  readonly env: NodeJS.ProcessEnv;
  /** The directory where the kubelet mounts a pod's service account. */
  readonly serviceAccountDir?: string;
}

const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Finds the API server. The order is: flag, KUBECONFIG, cellnet's configuration file, this pod's
 * service account (skipped when the caller names a context), ~/.kube/config. The first source that
 * is set decides. If it is unusable, this function throws and does not try the next one.
 * @throws KubeError `config`
 */
export function findTarget(options: FindOptions): Target {
  const { kubeconfig, configuredKubeconfig, context, env } = options;
  const fromFiles = (files: readonly string[]): Target =>
    selectTarget(loadFiles(files), context, files.join(', '));
  if (given(kubeconfig)) return fromFiles([kubeconfig]);
  if (given(env['KUBECONFIG'])) return fromFiles(existing(env['KUBECONFIG']));
  if (given(configuredKubeconfig)) return fromFiles([configuredKubeconfig]);
  const inCluster = findInCluster(env, options.serviceAccountDir ?? SERVICE_ACCOUNT_DIR);
  if (inCluster !== undefined && context === undefined) return inCluster;
  const home = given(env['HOME']) ? join(env['HOME'], '.kube', 'config') : undefined;
  if (home !== undefined && exists(home)) return fromFiles([home]);
  throw new KubeError(
    'config',
    'no kubeconfig: none by --kubeconfig, KUBECONFIG or our configuration, no service account of a pod, no ~/.kube/config',
  );
}

/** kubectl writes null for a field that is not set. */
const isSet = (value: unknown): boolean => value !== undefined && value !== null;

const given = (text: string | undefined): text is string => text !== undefined && text !== '';

/** KUBECONFIG may list several files. Like kubectl, skips those that do not exist. */
function existing(paths: string): readonly string[] {
  const files = paths.split(delimiter).filter((file) => file !== '' && exists(file));
  if (files.length === 0)
    throw new KubeError('config', `KUBECONFIG names '${paths}', and no such file exists`);
  return files;
}

function exists(file: string): boolean {
  try {
    accessSync(file);
    return true;
  } catch {
    return false;
  }
}

/** Does the same as client-go's rest.InClusterConfig. */
function findInCluster(env: NodeJS.ProcessEnv, dir: string): Target | undefined {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'];
  const tokenFile = join(dir, 'token');
  if (!given(host) || !given(port) || !exists(tokenFile)) return undefined;
  const server = `https://${isIPv6(host) ? `[${host}]` : host}:${port}`;
  return {
    cluster: { name: 'in-cluster', server, caFile: join(dir, 'ca.crt'), skipTLSVerify: false },
    user: { name: 'service-account' },
    tokenFile,
    source: 'the service account of this pod',
  };
}

interface Loaded {
  readonly config: KubeConfig;
  /** The raw user entries of the files, for the fields that KubeConfig does not read. */
  readonly users: ReadonlyMap<string, RawUser>;
}

interface RawUser {
  readonly dir: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Merges files as kubectl does: the first entry of a name and the first current-context win. */
function loadFiles(files: readonly string[]): Loaded {
  const config = new KubeConfig();
  const users = new Map<string, RawUser>();
  for (const file of files.map((path) => resolve(path))) {
    const one = new KubeConfig();
    try {
      one.loadFromFile(file);
      for (const [name, fields] of rawUsers(readFileSync(file, 'utf8'))) {
        if (!users.has(name)) users.set(name, { dir: dirname(file), fields });
      }
    } catch (error) {
      throw new KubeError('config', `the kubeconfig ${file} cannot be read: ${firstLine(reasonOf(error))}`, {
        cause: error,
      });
    }
    config.clusters = firstByName([...config.clusters, ...one.clusters]);
    config.contexts = firstByName([...config.contexts, ...one.contexts]);
    config.users = firstByName([...config.users, ...one.users]);
    // The type excludes undefined, but a file without current-context leaves it undefined.
    if (!given(config.currentContext)) config.currentContext = one.currentContext;
  }
  return { config, users };
}

/** YAML parsers append an excerpt of the file to the message. The excerpt may hold a token. */
function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').replace(/:$/, '');
}

function firstByName<T extends { readonly name: string }>(entries: readonly T[]): T[] {
  return entries.filter(({ name }, i) => entries.findIndex((entry) => entry.name === name) === i);
}

function rawUsers(text: string): readonly (readonly [string, RawUser['fields']])[] {
  const { users } = (parseYaml(text) ?? {}) as {
    users?: readonly { name: string; user?: RawUser['fields'] | null }[] | null;
  };
  return (users ?? []).map(({ name, user }) => [name, user ?? {}] as const);
}

function selectTarget({ config, users }: Loaded, named: string | undefined, source: string): Target {
  const wanted = named ?? config.currentContext;
  const refuse = (why: string): KubeError => new KubeError('config', `the kubeconfig ${source} ${why}`);
  if (!given(wanted)) throw refuse('has no current-context');
  const find = <T extends { readonly name: string }>(
    entries: readonly T[],
    name: string,
    what: string,
  ): T => {
    const found = entries.find((entry) => entry.name === name);
    if (found !== undefined) return found;
    const names = entries.map((entry) => entry.name).join(', ');
    throw refuse(`has no ${what} '${name}'; it has ${names === '' ? 'none' : names}`);
  };
  const context: Context = find(config.contexts, wanted, 'context');
  const cluster = checkServer(find(config.clusters, context.cluster, 'cluster'), refuse);
  const named_ = context as { readonly user?: string };
  if (!given(named_.user)) return { cluster, user: { name: 'anonymous' }, source };
  return {
    cluster,
    source,
    ...completeUser(find(config.users, named_.user, 'user'), users.get(named_.user), refuse),
  };
}

function checkServer(cluster: Cluster, refuse: (why: string) => KubeError): Cluster {
  const url = URL.canParse(cluster.server) ? new URL(cluster.server) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw refuse(`names the server '${cluster.server}': expected the form https://10.0.0.1:6443`);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw refuse(`names a server (${url.host}) with a user, query or fragment in its address`);
  }
  return cluster;
}

/**
 * Handles what KubeConfig ignores: `tokenFile` and plugin paths relative to the kubeconfig.
 * Throws KubeError `config` when the entry impersonates by more than `as`.
 */
function completeUser(
  user: User,
  raw: RawUser | undefined,
  refuse: (why: string) => KubeError,
): Pick<Target, 'user' | 'tokenFile'> {
  if (raw === undefined) return { user };
  for (const key of ['as-groups', 'as-uid', 'as-user-extra']) {
    if (isSet(raw.fields[key])) throw refuse(`impersonates by '${key}', which is not supported`);
  }
  const tokenFile = raw.fields['tokenFile'];
  const exec = user.exec as { readonly command?: unknown } | null | undefined;
  const command = exec?.command;
  const beside = typeof command === 'string' && command.includes('/') && !isAbsolute(command);
  return {
    user: beside ? { ...user, exec: { ...exec, command: join(raw.dir, command) } } : user,
    ...(typeof tokenFile === 'string' && tokenFile !== '' ? { tokenFile: resolve(raw.dir, tokenFile) } : {}),
  };
}
