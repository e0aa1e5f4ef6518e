import { randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import { DAEMON_SET, NODE } from '../../cni/kube/object-types.ts';
import type { KubeWriter } from '../../cni/kube/writer.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { candidateOf, chooseNodes, imageOf } from '../connectivity/objects.ts';
import { runChecks, type RunOptions } from '../connectivity/run.ts';
import { Stage } from '../connectivity/stage.ts';
import type { Context } from '../context/context.ts';
import { parseDuration } from '../context/durations.ts';
import { CommandError, remedyFor } from '../context/errors.ts';
import { connectivityJson, renderConnectivity, type ConnectivityReport } from './connectivity-report.ts';

export interface ConnectivityOptions {
  readonly namespace: string;
  readonly image?: string;
  readonly node?: readonly string[];
  readonly externalIp?: string;
  /** False by `--no-kube-proxy`. */
  readonly kubeProxy: boolean;
  readonly masqueradeForwarded?: boolean;
  readonly timeout: string;
  readonly keep?: boolean;
}

const AGENTS = 'app.kubernetes.io/name=cellnet';
const GRANT = 'docs/operations/connectivity.md lists the rights that this test needs.';

/**
 * `connectivity test`: makes pods and Services in a namespace of its own, has them ask one another,
 * and takes them away. Exit status 1 when a check failed, 2 when something could not be taken away.
 * @throws CommandError when the test cannot be made, or was stopped; KubeError
 */
export async function connectivityTest(context: Context, options: ConnectivityOptions): Promise<number> {
  const { namespace } = options;
  const timeoutMs = timeoutOf(options);
  const externalIp = externalIpOf(options);
  return await context.withKubeWriter(GRANT, async (kube) => {
    const image = options.image ?? (await imageOfAgents(kube));
    const topology = chooseNodes((await kube.list(NODE)).map(candidateOf), options.node ?? []);
    const note = (text: string): void => context.note(text);
    const settings: RunOptions = {
      ...{ namespace, topology, externalIp, hasKubeProxy: options.kubeProxy },
      hasKey: options.masqueradeForwarded === true,
      settings: { run: randomUUID(), image, ...durationsOf(timeoutMs, options.keep === true) },
      waiting: { world: context.world, signal: context.world.untilStopped(), timeoutMs, note },
      dial: context.world.dial,
    };
    return await onStage(context, kube, settings, options.keep === true);
  });
}

/** Tells what the rows say before it cleans up, and cleans up whatever happens. */
async function onStage(
  context: Context,
  kube: KubeWriter,
  options: RunOptions,
  keep: boolean,
): Promise<number> {
  const { namespace, topology, settings } = options;
  const stage = new Stage(kube, options);
  let report: ConnectivityReport;
  let isClean = false;
  try {
    await stage.open();
    const result = await runChecks(kube, stage, options);
    report = { namespace, image: settings.image, topology, ...result };
    context.print(connectivityJson(report), () => renderConnectivity(report, context.paint));
  } finally {
    isClean = await cleanUp(context, stage, namespace, keep);
  }
  if (report.rows.some(({ result }) => result === 'failed')) return 1;
  return isClean ? 0 : 2;
}

/** Returns whether it is as it should be. What remains is told: the rows count, whatever it is. */
async function cleanUp(context: Context, stage: Stage, namespace: string, keep: boolean): Promise<boolean> {
  try {
    if (!keep) await stage.close();
    else if (await stage.keep()) context.note(`kept, as asked: kubectl delete namespace ${namespace}`);
    return true;
  } catch (error) {
    context.warn(`${messageOf(error)}. ${remedyFor(error)}`);
    // Without the mark, a later run is refused until the longest time of this one is over.
    if (keep) return true;
    context.warn(`namespace '${namespace}' may be left: kubectl delete namespace ${namespace}`);
    return false;
  }
}

function timeoutOf({ timeout }: ConnectivityOptions): number {
  const ms = parseDuration(timeout, '--timeout');
  if (ms > 0) return ms;
  throw new CommandError(`--timeout '${timeout}': expected more than 0, such as 3m`);
}

function externalIpOf({ externalIp }: ConnectivityOptions): string | undefined {
  if (externalIp === undefined || isIP(externalIp) !== 0) return externalIp;
  throw new CommandError(`--external-ip '${externalIp}': expected an address, such as 198.51.100.7`);
}

/** Three waits have that length. Creating the objects, and the end of the namespace, have none. */
const WAITS = 3;
const BESIDE_WAITS_SECONDS = 360;
const PODS_SECONDS = { usual: 30 * 60, kept: 24 * 3_600 } as const;

/** A run with `--timeout 3m` is over after 15 minutes, whatever became of it. */
function durationsOf(
  timeoutMs: number,
  keep: boolean,
): { readonly lastsSeconds: number; readonly podsLastSeconds: number } {
  const lastsSeconds = (WAITS * timeoutMs) / 1_000 + BESIDE_WAITS_SECONDS;
  const podsSeconds = keep ? PODS_SECONDS.kept : PODS_SECONDS.usual;
  return {
    lastsSeconds: Math.ceil(lastsSeconds),
    podsLastSeconds: Math.ceil(Math.max(lastsSeconds, podsSeconds)),
  };
}

async function imageOfAgents(kube: KubeWriter): Promise<string> {
  const image = imageOf(await kube.list(DAEMON_SET, { labelSelector: AGENTS }));
  if (image !== undefined) return image;
  throw new CommandError(
    `no DaemonSet has the label ${AGENTS}, so the image of the agents is not known`,
    'Name an image that has Node 20 or newer: --image IMAGE',
  );
}
