/**
 * Measures ADD and DEL with a growing number of pods on the node, beside `ovs-vsctl add-port` of a
 * bare veth at the same count. Also measures cellnet's own share, which excludes the wait for
 * vswitchd, and the agent's memory.
 */
import { readFileSync } from 'node:fs';
import type { RunningAgent } from '../support/agent.ts';
import type { Pod, SimulatedNode } from '../support/node.ts';
import { must } from '../support/proc.ts';
import { httpGet, sample } from '../support/prometheus.ts';
import { median, table } from './figures.ts';
import { execute, mustSucceed, timeCall, type Contender } from './timed.ts';

const COUNTS = [1, 100, 250];
const ROUNDS = 11;

/** Returns resident memory in MB: VmRSS of proc(5). */
const residentMb = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? NaN) / 1024;

/**
 * Returns the seconds that all `attach-port` steps of ADD took so far, from the agent's metrics.
 */
async function attachSeconds(agent: RunningAgent): Promise<number> {
  const { body } = await httpGet({ socketPath: agent.metricsSocket }, '/metrics');
  return sample(body, 'cellnet_step_duration_seconds_sum', { verb: 'ADD', step: 'attach-port' }) ?? NaN;
}

/**
 * Returns the milliseconds that ovs-vsctl takes to add one end of a veth as a port. ovs-vsctl also
 * waits for vswitchd.
 */
async function bareAddPort(node: SimulatedNode, n: number): Promise<number> {
  const name = `bare${n}`;
  await must('ip', ['-n', node.ns.name, 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`]);
  await must('ip', ['-n', node.ns.name, 'link', 'set', name, 'up']);
  const vsctl = (...args: string[]): ReturnType<typeof execute> =>
    execute(node.ns.name, {
      program: 'ovs-vsctl',
      args: [`--db=${node.ovs.remote}`, '--timeout=15', ...args],
    });
  const ms = mustSucceed('ovs-vsctl add-port', await vsctl('add-port', 'br-cell', name, 'tag=120'));
  mustSucceed('ovs-vsctl del-port', await vsctl('del-port', name));
  await must('ip', ['-n', node.ns.name, 'link', 'del', name]);
  return ms;
}

export async function benchGrowth(
  node: SimulatedNode,
  agent: Contender,
  running: RunningAgent,
): Promise<void> {
  const standing: Pod[] = [];
  const rows: string[][] = [];
  const ownAt: number[] = [];
  for (const count of COUNTS) {
    while (standing.length < count - 1) {
      const pod = await node.makePod(`g${standing.length}`);
      await timeCall(node, agent, 'ADD', pod);
      standing.push(pod);
    }
    const [add, del, bare, own]: [number[], number[], number[], number[]] = [[], [], [], []];
    for (let n = 0; n < ROUNDS; n++) {
      const pod = await node.makePod(`t${n}`);
      const before = await attachSeconds(running);
      const whole = await timeCall(node, agent, 'ADD', pod);
      add.push(whole);
      own.push(whole - ((await attachSeconds(running)) - before) * 1_000);
      del.push(await timeCall(node, agent, 'DEL', pod));
      await pod.ns.stop();
      bare.push(await bareAddPort(node, n));
    }
    ownAt.push(median(own));
    rows.push([
      `${count}`,
      median(add).toFixed(1),
      median(del).toFixed(1),
      median(bare).toFixed(1),
      (median(add) - median(bare)).toFixed(1),
      median(own).toFixed(1),
      (median(own) / (ownAt[0] ?? NaN)).toFixed(2),
      residentMb(running.daemon.pid).toFixed(0),
    ]);
  }
  for (const pod of standing) {
    await timeCall(node, agent, 'DEL', pod);
    await pod.ns.stop();
  }
  console.log(`\nWith more pods on the node, ms, medians of ${ROUNDS}:\n`);
  console.log(
    table([
      [
        'pods',
        'ADD',
        'DEL',
        'ovs-vsctl add-port',
        'ADD less that',
        'own share',
        'to one pod',
        "agent's memory, MB",
      ],
      ...rows,
    ]),
  );
}
