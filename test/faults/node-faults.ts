/** Faults of the agent and of the machine, on one node. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sleep } from '../support/proc.ts';
import type { FaultCluster, Host } from './cluster.ts';
import type { Fault } from './fault.ts';

const HOUR_SECONDS = 3_600;
const STATE_BYTES = 512 * 1024;
const PAGE_BYTES = 4_096;

/** Deleted records make room again, so the disk is filled again and again. */
const FILL_EVERY_MS = 50;

const first = ({ hosts: [host] }: FaultCluster): Host => host;

/** Fills the file system of the node's state folder to the last page. */
const fillDisk = (host: Host): void => {
  const page = Buffer.alloc(PAGE_BYTES);
  try {
    for (let n = 0; n < STATE_BYTES / PAGE_BYTES + 1; n++) writeFileSync(fillerOf(host), page, { flag: 'a' });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') return;
    throw error;
  }
  throw new Error('the file system takes more than its size');
};

const fillerOf = ({ node }: Host): string => join(node.stateDir, 'filler');

const clockFault = (name: string, title: string, hours: number, done: string): Fault => ({
  name,
  group: 'machine',
  title,
  done,
  todo: 'Mend the time service. Addresses that were released meanwhile may rest for an hour.',
  hits: 'first node',
  needs: { clock: true },
  sign: /^doctor: (?:fail|warn) etcd clock/,
  begin: ({ clock }) => clock?.set(hours * HOUR_SECONDS),
  heal: ({ clock }) => clock?.set(0),
});

export const AGENT_FAULTS: readonly Fault[] = [
  {
    name: 'agent-killed',
    group: 'agent',
    title: 'killed',
    done: 'The agent was killed (SIGKILL) three times, and started again after 3 s each.',
    todo: 'Nothing: systemd starts it again. Without it each call takes longer.',
    hits: 'first node',
    sign: /^doctor: \w+ agent/,
    lastsMs: 3_000,
    begin: async (cluster) => {
      const host = first(cluster);
      for (let n = 1; n <= 2; n++) {
        await host.agent.kill();
        await sleep(3_000);
        await host.startAgent();
        await sleep(2_000);
      }
      await host.agent.kill();
    },
    heal: (cluster) => first(cluster).startAgent(),
  },
  {
    name: 'agent-stopped',
    group: 'agent',
    title: 'hung',
    done: 'The agent was stopped (SIGSTOP) and later went on (SIGCONT).',
    todo: 'Restart the agent, unless systemd or the kubelet does. An ADD waits for it for 90 s, a DEL for 30 s; once it is killed, they go on without it.',
    hits: 'first node',
    sign: /^doctor: \w+ agent/,
    stopsCalls: true,
    begin: (cluster) => first(cluster).agent.daemon.pause(),
    heal: (cluster) => first(cluster).agent.daemon.signal('SIGCONT'),
  },
];

let filling: NodeJS.Timeout | undefined;

export const MACHINE_FAULTS: readonly Fault[] = [
  {
    name: 'disk-full',
    group: 'machine',
    title: 'disk full',
    done: 'The state folder was a file system of 512 KB, kept full to the last page.',
    todo: 'Make room below `/var/lib/cellnet`.',
    hits: 'first node',
    needs: { stateBytes: STATE_BYTES },
    sign: /no space left/i,
    begin: (cluster) => {
      fillDisk(first(cluster));
      filling = setInterval(() => fillDisk(first(cluster)), FILL_EVERY_MS);
    },
    heal: (cluster) => {
      clearInterval(filling);
      rmSync(fillerOf(first(cluster)));
    },
  },
  clockFault(
    'clock-forward',
    'clock an hour ahead',
    1,
    'The wall clock that agent and plugins of one node see was set an hour ahead and later back again, by libfaketime.',
  ),
  clockFault(
    'clock-back',
    'clock an hour behind',
    -1,
    'The wall clock that agent and plugins of one node see was set an hour back and later forward again, by libfaketime.',
  ),
];
