/**
 * Network namespaces and veths for tests. Each set-up function returns its tear-down. A Scope runs
 * the tear-downs in reverse order, also when the test failed.
 *
 * Every name carries the process ID of the test (cn-PID-…). Test files can therefore run side by
 * side, and a later run recognises the namespaces of a killed test.
 */
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must, run, type RunOptions, type RunResult } from './proc.ts';

export type Undo = () => void | Promise<void>;

/** Collects tear-downs. The caller registers each one as soon as its set-up succeeds. */
export interface Scope {
  defer(undo: Undo): void;
  /** Registers the thing's `stop` as a tear-down and returns the thing. */
  use<Thing extends { stop(): Promise<unknown> }>(thing: Thing): Thing;
  /** Makes a temporary directory that `close` removes. */
  tempDir(below?: string): Promise<string>;
  /**
   * Runs all tear-downs in reverse order and continues after errors. Throws an AggregateError of
   * them at the end. A repeated call does nothing.
   */
  close(): Promise<void>;
}

interface HasAfter {
  after(fn: () => Promise<void>): void;
}

const PING_WITHIN_MS = 15_000;

/**
 * Returns a Scope that closes when the test `t` ends. Without `t` (in `before` hooks, the demo and
 * the benchmarks) the caller closes it.
 */
export const newScope = (t?: HasAfter): Scope => {
  const undos: Undo[] = [];
  const scope: Scope = {
    defer: (undo) => void undos.push(undo),
    use: (thing) => {
      undos.push(async () => {
        await thing.stop();
      });
      return thing;
    },
    tempDir: async (below = tmpdir()) => {
      const dir = await mkdtemp(join(below, 'cellnet-'));
      // A runtime's helper, such as conmon, may still write there for a moment after its container.
      undos.push(() => rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }));
      return dir;
    },
    close: async () => {
      const errors: unknown[] = [];
      for (let undo = undos.pop(); undo !== undefined; undo = undos.pop()) {
        try {
          await undo();
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length > 0)
        throw new AggregateError(errors, `tear-down failed: ${errors.map(String).join('; ')}`);
    },
  };
  t?.after(() => scope.close());
  return scope;
};

let counter = 0;

/** Returns a name that no other test uses: cn-PID-N-label. */
export const uniqueName = (label: string): string => `cn-${process.pid}-${++counter}-${label}`;

/**
 * Returns a link name that no other test uses, at most 15 bytes (IFNAMSIZ - 1). It uses the first 3
 * letters of `label`.
 */
export const uniqueLink = (label: string): string =>
  `${label.slice(0, 3)}${process.pid.toString(36)}x${(++counter).toString(36)}`;

export interface Namespace {
  readonly name: string;
  /** The value of CNI_NETNS. */
  readonly path: string;
  /**
   * Runs a program in the namespace. Rejects when its status is not 0.
   * Equivalent to: ip netns exec NAME COMMAND ARGS…
   */
  exec(command: string, ...args: string[]): Promise<string>;
  /**
   * Sends one echo request a second until one is answered, for 15 s at most. Rejects with ping's
   * output.
   */
  pings(ip: string, ...options: string[]): Promise<void>;
  /** Does as `exec`, but returns the result whatever the status. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Removes the namespace with all its links. A missing namespace is no error. */
  stop(): Promise<void>;
}

const namespaceExists = (name: string): boolean => existsSync(`/run/netns/${name}`);

/**
 * `path` is below /proc/sys. A fresh Debian has no sysctl program, so this function writes the
 * file.
 * Equivalent to: ip netns exec NETNS sysctl -w KEY=VALUE
 */
export const setSysctl = async (netns: string, path: string, value: number): Promise<void> => {
  await must('tee', [`/proc/sys/${path}`], { netns, input: `${value}\n` });
};

/**
 * One shell runs all steps, because starting a process from Node costs more than the steps
 * themselves and tests make thousands of namespaces.
 */
const MAKE_NAMESPACE = `
ip netns add "$1"
ip -n "$1" link set lo up
[ "$2" = true ] || nsenter --net="/run/netns/$1" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'`;

/**
 * Makes a namespace. Unless `ipv6` is set, IPv6 is disabled on its links, which avoids router
 * solicitations and neighbour discovery.
 * Equivalent to: ip netns add NAME; ip -n NAME link set lo up
 */
export const makeNamespace = async (name: string, { ipv6 = false } = {}): Promise<Namespace> => {
  const namespace: Namespace = {
    name,
    path: `/run/netns/${name}`,
    exec: (command, ...args) => must(command, args, { netns: name }),
    run: (command, args, options) => run(command, args, { ...options, netns: name }),
    pings: async (ip, ...options) => {
      const deadline = performance.now() + PING_WITHIN_MS;
      // A single ping call ends at the first error, such as a neighbour that a loaded machine
      // resolves slowly.
      for (;;) {
        const args = ['-c1', '-W1', ...options, ip];
        if (performance.now() > deadline) {
          await must('ping', args, { netns: name });
          return;
        }
        if ((await run('ping', args, { netns: name })).code === 0) return;
      }
    },
    stop: async () => {
      if (namespaceExists(name)) await must('ip', ['netns', 'del', name]);
    },
  };
  try {
    await must('sh', ['-ec', MAKE_NAMESPACE, 'sh', name, String(ipv6)]);
  } catch (error) {
    await namespace.stop();
    throw error;
  }
  return namespace;
};

/** Returns a Namespace that the scope removes. */
export const scopedNamespace = async (
  scope: Scope,
  label: string,
  options?: { ipv6?: boolean },
): Promise<Namespace> => scope.use(await makeNamespace(uniqueName(label), options));

export interface VethEnd {
  readonly ns: string;
  readonly name: string;
  /** With prefix length, such as 172.30.0.1/24. */
  readonly address?: string;
}

/**
 * Joins two namespaces with a veth and sets both ends up. The kernel removes the veth with either
 * namespace.
 * Equivalent to: ip -n A link add NAME type veth peer name PEER netns B
 */
export const joinNamespaces = async (a: VethEnd, b: VethEnd): Promise<void> => {
  await must('ip', [
    '-n',
    a.ns,
    'link',
    'add',
    a.name,
    'type',
    'veth',
    'peer',
    'name',
    b.name,
    'netns',
    b.ns,
  ]);
  for (const end of [a, b]) {
    if (end.address !== undefined)
      await must('ip', ['-n', end.ns, 'address', 'add', end.address, 'dev', end.name]);
    await must('ip', ['-n', end.ns, 'link', 'set', end.name, 'up']);
  }
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Returns the test namespaces (`cn-…`) whose test process has died. */
export const staleNamespaces = (): string[] => {
  let names: string[];
  try {
    names = readdirSync('/run/netns');
  } catch {
    return []; // /run/netns is absent until the first `ip netns add` on this machine.
  }
  return names.filter((name) => {
    const pid = /^cn-(?:[a-z]+-)?(\d+)(?:-|$)/.exec(name)?.[1];
    return pid !== undefined && !isAlive(Number(pid));
  });
};

/**
 * Removes stale namespaces, so that the remains of a killed run do not fail this one. Returns their
 * names.
 */
export const sweepStaleNamespaces = async (): Promise<string[]> => {
  const names = staleNamespaces();
  for (const name of names) await run('ip', ['netns', 'del', name]);
  return names;
};
