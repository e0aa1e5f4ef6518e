/**
 * Network namespaces and veths for tests. Set-up returns its tear-down; a Scope undoes what was set up, last first,
 * also when the test failed.
 *
 * Every name carries the process id of the test (cn-PID-…), so test files run side by side and a later run can tell
 * which namespaces were left by a test that was killed.
 */
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must, run, type RunOptions, type RunResult } from './proc.ts';

export type Undo = () => void | Promise<void>;

/** Where tear-downs are registered the moment their step succeeded. */
export interface Scope {
  defer(undo: Undo): void;
  /** Registers the tear-down of what set-up made, and returns it. */
  use<Thing extends { stop(): Promise<unknown> }>(thing: Thing): Thing;
  /** A directory of its own, removed at the end. */
  tempDir(below?: string): Promise<string>;
  /** Undoes everything, last first, and goes on past errors; throws the errors at the end. Again: does nothing. */
  close(): Promise<void>;
}

interface HasAfter {
  after(fn: () => Promise<void>): void;
}

const PING_WITHIN_MS = 15_000;

/** A Scope that closes when the test `t` ends; without `t` (in `before` hooks, the demo, the bench) close it yourself. */
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
      undos.push(() => rm(dir, { recursive: true, force: true }));
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

/** A name no other test uses: cn-PID-N-label. */
export const uniqueName = (label: string): string => `cn-${process.pid}-${++counter}-${label}`;

/** A link name no other test uses, at most 15 bytes (IFNAMSIZ - 1). `label` has at most 3 letters. */
export const uniqueLink = (label: string): string =>
  `${label.slice(0, 3)}${process.pid.toString(36)}x${(++counter).toString(36)}`;

export interface Namespace {
  readonly name: string;
  /** For CNI_NETNS. */
  readonly path: string;
  /** Runs a program inside; rejects when its status is not 0. Equivalent to: ip netns exec NAME COMMAND ARGS… */
  exec(command: string, ...args: string[]): Promise<string>;
  /** Sends one echo request a second until one is answered: 15 s at most. Rejects with ping's own words. */
  pings(ip: string, ...options: string[]): Promise<void>;
  /** As exec, but returns the result whatever the status. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Removes it with all its links; one that is gone already is fine. */
  stop(): Promise<void>;
}

const namespaceExists = (name: string): boolean => readdirSync('/run/netns').includes(name);

/** `path` below /proc/sys. Equivalent to: ip netns exec NETNS sysctl -w KEY=VALUE (a fresh Debian has no sysctl). */
export const setSysctl = async (netns: string, path: string, value: number): Promise<void> => {
  await must('tee', [`/proc/sys/${path}`], { netns, input: `${value}\n` });
};

/** Equivalent to: ip netns add NAME; ip -n NAME link set lo up. IPv6 noise of its links is off unless `ipv6`. */
export const makeNamespace = async (name: string, { ipv6 = false } = {}): Promise<Namespace> => {
  await must('ip', ['netns', 'add', name]);
  const namespace: Namespace = {
    name,
    path: `/run/netns/${name}`,
    exec: (command, ...args) => must(command, args, { netns: name }),
    run: (command, args, options) => run(command, args, { ...options, netns: name }),
    pings: async (ip, ...options) => {
      const deadline = Date.now() + PING_WITHIN_MS;
      // By itself ping ends at the first error, such as a neighbour that a loaded machine was slow to resolve.
      for (;;) {
        const args = ['-c1', '-W1', ...options, ip];
        if (Date.now() > deadline) {
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
    await must('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
    if (!ipv6) await setSysctl(name, 'net/ipv6/conf/default/disable_ipv6', 1);
  } catch (error) {
    await namespace.stop();
    throw error;
  }
  return namespace;
};

/** A Namespace that lives as long as the scope. */
export const scopedNamespace = async (
  scope: Scope,
  label: string,
  options?: { ipv6?: boolean },
): Promise<Namespace> => scope.use(await makeNamespace(uniqueName(label), options));

export interface VethEnd {
  readonly ns: string;
  readonly name: string;
  /** With prefix length, as 172.30.0.1/24. */
  readonly address?: string;
}

/**
 * Joins two namespaces; both ends up. The veth goes away with either namespace.
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

/** Namespaces of tests (`cn-…`) whose test process has died. */
export const staleNamespaces = (): string[] => {
  let names: string[];
  try {
    names = readdirSync('/run/netns');
  } catch {
    return []; // No namespace was ever made on this machine.
  }
  return names.filter((name) => {
    const pid = /^cn-(?:[a-z]+-)?(\d+)(?:-|$)/.exec(name)?.[1];
    return pid !== undefined && !isAlive(Number(pid));
  });
};

/** Removes them: what a killed run left must not fail this one. Returns their names. */
export const sweepStaleNamespaces = async (): Promise<string[]> => {
  const names = staleNamespaces();
  for (const name of names) await run('ip', ['netns', 'del', name]);
  return names;
};
