/**
 * 5,000 Services with 10 endpoints each: how long until a bridge serves them, how large the agent
 * is then, and how long one endpoint's change takes.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { clearBridge } from '../../cni/agent/dataplane/clear-bridge.ts';
import { cookieOf, cookiesOf } from '../../cni/dataplane/tables.ts';
import { startAgent, type RunningAgent } from '../support/agent.ts';
import { until } from '../support/proc.ts';
import { httpGet, sample } from '../support/prometheus.ts';
import { median, percentile } from './figures.ts';
import {
  ENDPOINTS,
  MANY,
  sliceOf,
  spareAddress,
  type BenchWorld,
  type ServedNode,
} from './services-world.ts';
import { atMost, told, type Row } from './services-rows.ts';

/** Two flows for each Service's port, one for its address, and one for each endpoint's replies. */
const FLOWS = MANY * (2 + 1 + ENDPOINTS);
const CHANGES = 100;
const PAUSE_MS = 30;
const WHOLE_COOKIE = 0xffff_ffff_ffff_ffffn;
const LOOK_EVERY_MS = 5;

interface Memory {
  readonly residentMb: number;
  readonly peakMb: number;
  readonly heapMb: number;
}

export async function benchScale({ none, many }: BenchWorld, rounds: number): Promise<Row[]> {
  const fresh: number[] = [];
  const again: number[] = [];
  const revived: number[] = [];
  const changes: number[] = [];
  const memory: { with: Memory[]; without: Memory[] } = { with: [], without: [] };
  for (let round = 0; round < rounds; round++) {
    await many.agent.stop();
    const bridge = await many.bridge();
    await clearBridge(bridge);
    bridge.close();
    fresh.push(await startTimed(many));
    await checkFlows(many);
    await none.agent.stop();
    none.agent = await startAgent(none.node);
    changes.push(...(await timeChanges(many, round * CHANGES)));
    memory.with.push(await memoryOf(many.agent));
    memory.without.push(await memoryOf(none.agent));
    await many.agent.stop();
    again.push(await startTimed(many));
    await checkFlows(many);
    revived.push(await reviveTimed(many));
    await checkFlows(many);
  }
  const of = (which: readonly Memory[], key: keyof Memory): number => median(which.map((each) => each[key]));
  return [
    atMost('all in place after the start, empty bridge, s', 5, median(fresh) / 1_000, 2),
    atMost('the same on a bridge that is programmed, s', 5, median(again) / 1_000, 2),
    told('whole again after a restart of ovs-vswitchd, s', median(revived) / 1_000, 2),
    atMost("an endpoint's change until the flow is there, p50, ms", 30, median(changes), 1),
    atMost('p95, ms', 30, percentile(changes, 95), 1),
    atMost('resident memory of the agent, MB', 200, of(memory.with, 'residentMb'), 0),
    told('its peak, MB', of(memory.with, 'peakMb'), 0),
    told('its heap in use, MB', of(memory.with, 'heapMb'), 0),
    told('resident memory without Services, MB', of(memory.without, 'residentMb'), 0),
  ];
}

/** Starts the agent. @returns the milliseconds from before its process until all is in place */
async function startTimed(served: ServedNode): Promise<number> {
  const began = performance.now();
  served.agent = await startAgent(served.node, undefined, [], { env: served.agentEnv });
  await programmed(served.agent, 1);
  return performance.now() - began;
}

/** @returns the milliseconds from before the new process until the bridge is whole */
async function reviveTimed({ node, agent }: ServedNode): Promise<number> {
  const before = agent.logged('bridge programmed').length;
  await node.ovs.killVswitchd();
  const began = performance.now();
  await node.ovs.startVswitchd();
  await programmed(agent, before + 1);
  return performance.now() - began;
}

/** Waits until the agent has put a whole program in place so many times. */
const programmed = (agent: RunningAgent, times: number): Promise<true> =>
  until(
    'the bridge is programmed',
    () => agent.logged('bridge programmed').length >= times,
    60_000,
    LOOK_EVERY_MS,
  ).then(() => true);

async function checkFlows(served: ServedNode): Promise<void> {
  const bridge = await served.bridge();
  const found = await bridge.countFlows(cookiesOf('service'));
  bridge.close();
  if (found !== FLOWS) throw new Error(`${found} flows of Services: expected ${FLOWS}`);
}

/**
 * Replaces one endpoint at a time. Replies of the one that went keep a flow of another cookie, by
 * which the bridge is asked whether the change is there: of one cookie it counts the flows at once.
 */
async function timeChanges(served: ServedNode, first: number): Promise<number[]> {
  const bridge = await served.bridge();
  const leaving = (): Promise<number> =>
    bridge.countFlows({ cookie: cookieOf('leaving'), mask: WHOLE_COOKIE });
  const times: number[] = [];
  // The round before changed other Services.
  let there = await leaving();
  for (let i = 0; i < CHANGES; i++) {
    const n = (first + i) % MANY;
    const began = performance.now();
    served.api?.putEndpointSlice(sliceOf(n, spareAddress(n)));
    there++;
    await until('the change is there', async () => (await leaving()) === there, 10_000, 1);
    times.push(performance.now() - began);
    await sleep(PAUSE_MS);
  }
  bridge.close();
  return times;
}

async function memoryOf({ daemon, metricsSocket }: RunningAgent): Promise<Memory> {
  const status = readFileSync(`/proc/${daemon.pid}/status`, 'utf8');
  const mb = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? NaN) / 1024;
  const { body } = await httpGet({ socketPath: metricsSocket }, '/metrics');
  const heap = sample(body, 'nodejs_heap_size_used_bytes') ?? NaN;
  return { residentMb: mb('VmRSS'), peakMb: mb('VmHWM'), heapMb: heap / 2 ** 20 };
}
