import { randomUUID } from 'node:crypto';
import { DAEMON_SET, NODE, type KubeWriter } from '../../cni/kube/writer.ts';
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
 * and takes them away. Exit status 1 when a check failed.
 * @throws CommandError when the test cannot be made, or was stopped; KubeError
 */
export async function connectivityTest(context: Context, options: ConnectivityOptions): Promise<number> {
  const { namespace } = options;
  const timeoutMs = parseDuration(options.timeout, '--timeout');
  return await context.withKubeWriter(GRANT, async (kube) => {
    const image = options.image ?? (await imageOfAgents(kube));
    const topology = chooseNodes((await kube.list(NODE)).map(candidateOf), options.node ?? []);
    const note = (text: string): void => context.note(text);
    const settings: RunOptions = {
      ...{ namespace, topology, externalIp: options.externalIp, hasKubeProxy: options.kubeProxy },
      hasKey: options.masqueradeForwarded === true,
      settings: { run: randomUUID(), image },
      waiting: { world: context.world, signal: context.world.untilStopped(), timeoutMs, note },
      dial: context.world.dial,
    };
    const report = await onStage(context, kube, settings, options.keep === true);
    context.print(connectivityJson(report), () => renderConnectivity(report, context.paint));
    return report.rows.some(({ result }) => result === 'failed') ? 1 : 0;
  });
}

/** Cleans up whatever happens, and reports what happened first. */
async function onStage(
  context: Context,
  kube: KubeWriter,
  options: RunOptions,
  keep: boolean,
): Promise<ConnectivityReport> {
  const { namespace, topology, settings } = options;
  const stage = new Stage(kube, options);
  let report: ConnectivityReport;
  try {
    await stage.open();
    const result = await runChecks(kube, stage, options);
    report = { namespace, image: settings.image, topology, ...result };
  } catch (error) {
    await cleanUp(context, stage, namespace, keep).catch((late: unknown) => {
      context.warn(`${messageOf(late)}. ${remedyFor(late)}`);
    });
    throw error;
  }
  await cleanUp(context, stage, namespace, keep);
  return report;
}

async function cleanUp(context: Context, stage: Stage, namespace: string, keep: boolean): Promise<void> {
  if (keep) context.note(`kept, as asked: kubectl delete namespace ${namespace}`);
  else await stage.close();
}

async function imageOfAgents(kube: KubeWriter): Promise<string> {
  const image = imageOf(await kube.list(DAEMON_SET, { labelSelector: AGENTS }));
  if (image !== undefined) return image;
  throw new CommandError(
    `no DaemonSet has the label ${AGENTS}, so the image of the agents is not known`,
    'Name an image that has Node 20 or newer: --image IMAGE',
  );
}
