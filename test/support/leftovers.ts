/**
 * Lists what a test run may leave on the machine: namespaces, links, processes, mounts and
 * directories. The runner takes one inventory before the run and one after; the difference is what
 * the run left.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ETCD_FOLDER } from './etcd.ts';

/**
 * The runner sets this variable for a run. Child processes inherit it, which tells them from
 * processes of other users and runs.
 */
export const RUN_MARK = 'CELLNET_TEST_RUN';

const SERVERS = new Set([
  'etcd',
  'ovsdb-server',
  'ovs-vswitchd',
  'containerd',
  'containerd-shim',
  'conmon',
  'podman',
  'tcpdump',
  'iperf3',
]);

const list = (dir: string): string[] => {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
};

const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // The process has ended, or the file never existed.
  }
};

const namespaces = (): string[] =>
  list('/run/netns')
    .filter((name) => name.startsWith('cn-'))
    .map((name) => `network namespace ${name}`);

const links = (): string[] =>
  list('/sys/class/net')
    .filter(
      (name) => /^(cell|cn|veth)/.test(name) || read(`/sys/class/net/${name}/ifalias`).includes('cellnet'),
    )
    .map((name) => `link ${name}`);

const mounts = (): string[] =>
  read('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((target) => target.startsWith(join(tmpdir(), 'cellnet-')))
    .map((target) => `mount ${target}`);

const directories = (): string[] =>
  [tmpdir(), process.env[ETCD_FOLDER] ?? ''].flatMap((folder) =>
    list(folder)
      .filter((name) => name.startsWith('cellnet-'))
      .map((name) => `directory ${join(folder, name)}`),
  );

/**
 * Returns the processes that carry this run's mark, and servers that carry no mark at all. Zombies
 * have no command line and do not count.
 */
const processes = (mark: string): string[] =>
  list('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
    if (command === '') return [];
    const comm = read(`/proc/${pid}/comm`).trim();
    const owner = new RegExp(`(?:^|\\0)${RUN_MARK}=([^\\0]*)`).exec(read(`/proc/${pid}/environ`))?.[1];
    const counts = owner === undefined ? SERVERS.has(comm) : owner === mark;
    return counts ? [`process ${pid}: ${command.slice(0, 160)}`] : [];
  });

/** Names everything that exists now. `mark` is the value of RUN_MARK. */
export const inventory = (mark: string): Set<string> =>
  new Set([...namespaces(), ...links(), ...mounts(), ...directories(), ...processes(mark)]);
