/** Runs one fault: pods come and go while it begins, lasts, is healed, and for a while after. */
import { join } from 'node:path';
import { sleep, startDaemon, until, type Daemon } from '../support/proc.ts';
import { startFaultCluster, type FaultCluster, type Host } from './cluster.ts';
import type { Fault } from './fault.ts';
import {
  callsBeyondDeadline,
  callsWithin,
  countSilent,
  figuresOf,
  recoveryOf,
  type CallFigures,
} from './figures.ts';
import { Load } from './load.ts';
import { findSign, signsOf, type Signs } from './signs.ts';
import { verifyEnded, verifyLiving, type LivingPod, type Verified } from './verify.ts';

export interface FaultResult {
  readonly fault: Fault;
  readonly adds: CallFigures;
  readonly dels: CallFigures;
  /** From the beginning until it was healed, in milliseconds. */
  readonly lastedMs: number;
  /** How long a running pod did not reach another node's, in milliseconds. */
  readonly silentMs: number;
  /** From the healing until ADDs succeed on every node, in milliseconds. */
  readonly recoveryMs: number | undefined;
  /** The line that tells an operator, where the fault has one. */
  readonly sign: string | undefined;
  readonly verified: Verified;
  /** Everything that does not hold. Empty when the fault was survived. */
  readonly problems: readonly string[];
}

/** Pods on each node that live through the fault. */
const LASTING_PODS = 4;
const BEFORE_MS = 2_000;
const LASTS_MS = 8_000;
const AFTER_MS = 5_000;
const RECOVERS_WITHIN_MS = 60_000;
const PING_EVERY_MS = 200;

/**
 * @param tell prints a line of progress
 * @param afterMs how long pods come and go after the healing, at least
 */
export async function runFault(
  fault: Fault,
  tell: (line: string) => void,
  afterMs = AFTER_MS,
): Promise<FaultResult> {
  const cluster = await startFaultCluster(fault.needs);
  try {
    return await runOn(cluster, fault, tell, afterMs);
  } finally {
    await cluster.scope.close();
  }
}

async function runOn(
  cluster: FaultCluster,
  fault: Fault,
  tell: (line: string) => void,
  afterMs: number,
): Promise<FaultResult> {
  const { hosts, scope } = cluster;
  const load = new Load(hosts, join(await scope.tempDir(), 'journal.jsonl'), fault.growing ?? false);
  // After an error no call may work on what is taken down.
  scope.defer(() => load.stop());
  const lasting = await addLasting(cluster, load);
  const ping = await startPing(lasting);
  scope.defer(() => ping.stop());
  const before = await signsOf(hosts[0]);
  await fault.prepare?.(cluster);
  load.start();
  await sleep(BEFORE_MS);

  const beganAt = performance.now();
  await fault.begin(cluster);
  tell('the fault has begun');
  let during: Signs;
  try {
    during = await signsOf(hosts[0], sleep(fault.lastsMs ?? LASTS_MS));
  } finally {
    await fault.heal(cluster);
  }
  const healedAt = performance.now();
  tell('healed');

  const names = hosts.map(({ node }) => node.name);
  const recovery = (): number | undefined => recoveryOf(load.calls, names, healedAt);
  await sleep(afterMs);
  await until('ADDs to succeed again', () => recovery() !== undefined, RECOVERS_WITHIN_MS, 200).catch(
    () => undefined, // The result says that they did not.
  );
  await load.stop();
  const silentMs = await silenceOf(ping);
  const after = await signsOf(hosts[0]);
  const living = await verifyLiving(cluster, load.living(), load.overlaps());
  tell(`${load.living().length} pods live; all of them end`);
  await load.removeAll();
  const ended = await verifyEnded(cluster);

  const met = load.calls.filter(({ node }) => fault.hits === 'cluster' || node === names[0]);
  const window = callsWithin(met, beganAt, healedAt);
  const result = {
    fault,
    adds: figuresOf(window.filter(({ verb }) => verb === 'ADD')),
    dels: figuresOf(window.filter(({ verb }) => verb === 'DEL')),
    lastedMs: healedAt - beganAt,
    silentMs,
    recoveryMs: recovery(),
    sign: fault.sign && (findSign(before, during, fault.sign) ?? findSign(before, after, fault.sign)),
    verified: { ...living, ...ended },
  };
  return { ...result, problems: problemsOf(result, load, names, seen(before, during, after)) };
}

/** Makes the pods that live through the fault. Throws an Error when one cannot be made. */
async function addLasting({ hosts }: FaultCluster, load: Load): Promise<LivingPod[]> {
  const addTo = async (host: Host): Promise<LivingPod[]> => {
    const pods: LivingPod[] = [];
    for (let i = 0; i < LASTING_PODS; i++) {
      const pod = await load.add(host);
      if (!pod) {
        const failed = load.calls.findLast(({ node, verb }) => node === host.node.name && verb === 'ADD');
        throw new Error(`no pod can be made on ${host.node.name}: ${failed?.message ?? ''}`);
      }
      pods.push(pod);
    }
    return pods;
  };
  return (await Promise.all(hosts.map(addTo))).flat();
}

/** Begins to ping from a pod of the first node to one of the second, five times a second. */
const startPing = async (pods: readonly LivingPod[]): Promise<Daemon> => {
  const [from, to] = [pods[0], pods.at(-1)];
  if (!from || !to) throw new Error('no pod to ping from');
  await from.ns.pings(to.ip);
  const interval = `${PING_EVERY_MS / 1_000}`;
  return startDaemon('ping', ['-n', '-i', interval, '-W', '1', to.ip], (it) => it.output().includes('seq='), {
    netns: from.ns.name,
  });
};

/** Ends the ping. Returns for how long it got no answer in time, in milliseconds. */
const silenceOf = async (ping: Daemon): Promise<number> => {
  ping.signal('SIGINT');
  await ping.ended;
  const silent = countSilent(ping.output());
  if (silent === undefined) throw new Error(`ping said: ${ping.output().slice(-300)}`);
  return silent * PING_EVERY_MS;
};

/** Lists what the operator could see that was not there before. */
const seen = (before: Signs, ...later: readonly Signs[]): string[] =>
  [...new Set(later.flatMap((signs) => [...signs]))].filter((line) => !before.has(line));

const problemsOf = (
  { fault, adds, dels, lastedMs, recoveryMs, sign, verified }: Omit<FaultResult, 'problems'>,
  { calls }: Load,
  [first]: readonly string[],
  lines: readonly string[],
): string[] => [
  ...verified.twoOwners.map((ip) => `${ip} has two owners`),
  ...verified.lost.map((ip) => `${ip} is lost: a living pod carries it, etcd does not hold it`),
  ...verified.leaked.map((ip) => `${ip} leaked: etcd holds it, and all pods have ended`),
  ...verified.left.map((what) => `left over: ${what}`),
  ...callsBeyondDeadline(calls, fault.stopsCalls === true ? lastedMs : 0).map(
    ({ verb, node, ms, message }) => `${verb} on ${node} took ${(ms / 1_000).toFixed(1)} s: ${message}`,
  ),
  ...(fault.hits === 'cluster' ? [] : calls.filter(({ node, code }) => node !== first && code !== 0)).map(
    ({ verb, node, message }) => `${verb} failed on ${node}, which the fault does not concern: ${message}`,
  ),
  ...(recoveryMs === undefined ? ['ADDs do not succeed again'] : []),
  ...(sign === undefined && (adds.refused.length + dels.refused.length > 0 || mustShow(fault))
    ? [`no line that matches ${fault.sign?.source ?? 'nothing'} tells the operator: ${lines.join(' | ')}`]
    : []),
];

const mustShow = ({ sign, isBrief }: Fault): boolean => sign !== undefined && isBrief !== true;
