import { join } from 'node:path';
import { CommandError } from '../context/errors.ts';
import type { Look } from '../context/file-access.ts';
import { DEFAULT_BIN_DIR, DEFAULT_CONF_DIR, type Tree } from './layout.ts';

/** Where a container runtime looks for plugins and for networks. */
export interface RuntimeFolders {
  readonly binDir: string;
  readonly confDir: string;
}

export const DEFAULT_FOLDERS: RuntimeFolders = { binDir: DEFAULT_BIN_DIR, confDir: DEFAULT_CONF_DIR };

interface Runtime {
  readonly name: string;
  readonly file: string;
  /** A folder of further files, of which a later one overrides an earlier one. */
  readonly dropIns?: string;
  /** Variables of the file's text that the runtime's start fills in. */
  readonly variables?: Readonly<Record<string, string>>;
}

/**
 * The runtimes' own configuration. k3s and RKE2 write it at each start, and only where they bring a
 * network of their own does it name other folders than the usual ones. So the file decides, not the
 * presence of k3s. MicroShift and OpenShift use CRI-O.
 */
const RUNTIMES: readonly Runtime[] = [
  { name: 'k3s', file: '/var/lib/rancher/k3s/agent/etc/containerd/config.toml' },
  { name: 'RKE2', file: '/var/lib/rancher/rke2/agent/etc/containerd/config.toml' },
  {
    name: 'MicroK8s',
    file: '/var/snap/microk8s/current/args/containerd.toml',
    variables: { '${SNAP_DATA}': '/var/snap/microk8s/current' },
  },
  { name: 'containerd', file: '/etc/containerd/config.toml', dropIns: '/etc/containerd/conf.d' },
  { name: 'CRI-O', file: '/etc/crio/crio.conf', dropIns: '/etc/crio/crio.conf.d' },
];

interface Found extends RuntimeFolders {
  readonly by: string;
}

/**
 * Returns the folders of the runtime that is configured here; the usual ones when none is.
 * @throws CommandError when two runtimes look in different folders, because only the operator knows
 *   which one the kubelet uses
 */
export function findFolders(tree: Tree, look: Look): RuntimeFolders {
  const found = RUNTIMES.flatMap((runtime) => foldersOf(runtime, tree, look) ?? []);
  const [first = DEFAULT_FOLDERS, ...others] = found;
  const isSame = (each: RuntimeFolders): boolean =>
    each.binDir === first.binDir && each.confDir === first.confDir;
  if (others.every(isSame)) return { binDir: first.binDir, confDir: first.confDir };
  const places = found.map(({ by, binDir, confDir }) => `${by}: ${binDir} and ${confDir}`);
  throw new CommandError(
    `the runtimes of this node look in different folders for plugins and networks (${places.join('; ')})`,
    'Name those of the runtime that the kubelet uses: --bin-dir FOLDER --conf FILE.',
  );
}

function foldersOf(runtime: Runtime, tree: Tree, look: Look): Found | undefined {
  const { name, file, dropIns, variables = {} } = runtime;
  const more = dropIns === undefined ? [] : look.list(tree.at(dropIns)).filter(isDropIn);
  const texts = [file, ...more.map((each) => join(dropIns ?? '', each))]
    .map((path) => look.read(tree.at(path)))
    .filter((text) => text !== undefined)
    .map((text) => fillIn(text, variables));
  if (texts.length === 0 || texts.some(hasNoCri)) return undefined;
  const folders = texts.map(readFolders);
  const last = (key: keyof RuntimeFolders): string =>
    folders.findLast((each) => each[key] !== undefined)?.[key] ?? DEFAULT_FOLDERS[key];
  return { by: `${name} by ${tree.at(file)}`, binDir: last('binDir'), confDir: last('confDir') };
}

const isDropIn = (name: string): boolean => /\.(conf|toml)$/.test(name);

const fillIn = (text: string, variables: Readonly<Record<string, string>>): string =>
  Object.entries(variables).reduce((filled, [name, value]) => filled.replaceAll(name, value), text);

/** Docker's containerd: it serves no kubelet. */
const hasNoCri = (text: string): boolean =>
  listOf(text, 'disabled_plugins').some((plugin) => /(^|\.)cri$/.test(plugin));

/** Reads containerd's names of the keys and CRI-O's. */
export function readFolders(text: string): Partial<RuntimeFolders> {
  const absolute = (keys: readonly string[]): string[] =>
    keys
      .flatMap((key) => listOf(text, key))
      .filter((path) => path.startsWith('/'))
      .map((path) => (path === '/' ? path : path.replace(/\/+$/, '')));
  const binDirs = absolute(['bin_dirs', 'bin_dir', 'plugin_dirs', 'plugin_dir']);
  const [confDir] = absolute(['conf_dir', 'network_dir']);
  // Of several the usual one: /usr/libexec/cni, which CRI-O may name first, is often read-only.
  const binDir = binDirs.find((path) => path === DEFAULT_BIN_DIR) ?? binDirs[0];
  return { ...(binDir !== undefined && { binDir }), ...(confDir !== undefined && { confDir }) };
}

/** Returns the texts of a TOML key, which has one text or an array of them. */
function listOf(text: string, key: string): string[] {
  const value = new RegExp(`^[ \\t]*${key}[ \\t]*=[ \\t]*(\\[[^\\]]*\\]|"[^"\\n]*"|'[^'\\n]*')`, 'm').exec(
    text,
  );
  const withoutComments = (value?.[1] ?? '').replace(/^\s*#.*$/gm, '');
  return [...withoutComments.matchAll(/"([^"\n]*)"|'([^'\n]*)'/g)].map(([, a, b]) => a ?? b ?? '');
}
