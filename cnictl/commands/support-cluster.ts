import { DAEMON_SET, POD } from '../../cni/kube/object-types.ts';
import type { KubeWriter } from '../../cni/kube/writer.ts';
import { KubeError } from '../../cni/kube/errors.ts';
import { NodeDirectory } from '../../ipam/model/node-name.ts';
import { sideBySide } from '../check/side-by-side.ts';
import type { Context } from '../context/context.ts';
import { describeError } from '../context/errors.ts';
import { redactJson, redactText } from '../doctor/redact.ts';
import type { TarEntry } from '../doctor/tar.ts';
import { safeName } from '../support/archive.ts';
import { readNodePart } from '../support/node-part.ts';
import { AGENT_CONTAINER, agentPodOn, ownPodOf, type OwnPod } from '../support/pods.ts';
import type { PartNote } from '../support/readme.ts';
import { firstLine } from './support-capture.ts';

/** Returns the files of a node, or why there are none. Never throws. */
export type AskNode = (node: string, leftMs: number) => Promise<readonly TarEntry[] | string>;

/** What the API server has of cellnet. */
export interface ClusterPart {
  readonly files: readonly TarEntry[];
  readonly notes: readonly PartNote[];
  /** Names of the nodes with an agent's pod, as the cluster has them. */
  readonly nodes: readonly string[];
  /** Undefined where no API server is configured, or it does not list the pods. */
  readonly ask: AskNode | undefined;
}

const GRANT = 'docs/operations/support-bundle.md lists the rights that it needs.';
const LABEL = 'app.kubernetes.io/name';
/** The names in that label of what docs/examples/ deploys. */
const OURS = ['cellnet', 'cellnet-check'];
const TAIL_LINES = 1_000;
const LOGS_AT_ONCE = 4;
/** Longest time for one node, in milliseconds: its doctor takes up to 20 s. */
const NODE_DEADLINE_MS = 60_000;

const NOTHING: ClusterPart = { files: [], notes: [], nodes: [], ask: undefined };

/** Runs the work with the API server's part. Without an answer of it, with none, and says why. */
export async function withClusterPart(
  context: Context,
  secrets: readonly string[],
  work: (part: ClusterPart) => Promise<void>,
): Promise<void> {
  const without = (problem: string): ClusterPart => ({
    ...NOTHING,
    notes: [{ name: 'kubernetes/', what: "cellnet's pods and their logs", problem }],
  });
  if (!context.knowsKube) {
    await work(without('no API server is configured: only this node is here'));
    return;
  }
  const state = { begun: false };
  try {
    await context.withKubeWriter(GRANT, async (kube) => {
      context.note(`${kube.server}: pods of cellnet and their logs`);
      const part = await gatherPart(kube, secrets);
      state.begun = true;
      await work(part);
    });
  } catch (error) {
    if (state.begun) throw error;
    await work(without(textOf(error)));
  }
}

const textOf = (error: unknown): string => firstLine(describeError(error).replace(/^cnictl: /, ''));

async function gatherPart(kube: KubeWriter, secrets: readonly string[]): Promise<ClusterPart> {
  const lists = await Promise.all(OURS.map((name) => kube.list(POD, { labelSelector: `${LABEL}=${name}` })));
  const pods = lists.flat().map(ownPodOf);
  const logs = await sideBySide(pods, LOGS_AT_ONCE, (pod) => logsOf(kube, pod, secrets));
  const sets = await daemonSets(kube);
  const json = (value: unknown): string => `${JSON.stringify(redactJson(value, secrets), null, 2)}\n`;
  const names = pods.flatMap(({ node }) => node ?? []);
  return {
    files: [
      { name: 'kubernetes/pods.json', content: json(pods) },
      { name: 'kubernetes/daemonsets.json', content: json(sets.value) },
      ...logs.flatMap(({ files }) => files),
    ],
    notes: [
      { name: 'kubernetes/pods.json', what: `cellnet's pods, without environment and arguments` },
      {
        ...{ name: 'kubernetes/daemonsets.json', what: 'how many of them the DaemonSets want and have' },
        ...(sets.problem !== undefined && { problem: sets.problem }),
      },
      ...logs.flatMap(({ notes }) => notes),
    ],
    nodes: names,
    ask: (node, leftMs) => askNode(kube, pods, node, leftMs),
  };
}

async function daemonSets(kube: KubeWriter): Promise<{ value: unknown; problem?: string }> {
  try {
    const sets = await kube.list(DAEMON_SET, { labelSelector: `${LABEL}=cellnet` });
    const told = sets.map(({ metadata, status }) => {
      const { namespace, name, generation } = metadata as Readonly<Record<string, unknown>>;
      return { namespace, name, generation, status };
    });
    return { value: told };
  } catch (error) {
    return { value: null, problem: textOf(error) };
  }
}

interface Logs {
  readonly files: readonly TarEntry[];
  readonly notes: readonly PartNote[];
}

/** The ends of the logs of a pod's containers, and those from before a restart. */
async function logsOf(kube: KubeWriter, pod: OwnPod, secrets: readonly string[]): Promise<Logs> {
  const wanted = pod.containers.flatMap(({ name, restarts }) => [
    { container: name, previous: false },
    ...(restarts > 0 ? [{ container: name, previous: true }] : []),
  ]);
  const each = await Promise.all(
    wanted.map(async ({ container, previous }): Promise<Logs> => {
      const suffix = previous ? '.previous' : '';
      const name = `kubernetes/logs/${safeName(`${pod.name}.${container}${suffix}.txt`)}`;
      const what = `log of pod ${pod.namespace}/${pod.name}, container ${container}${previous ? ', before its restart' : ''}`;
      try {
        const text = await kube.log(pod, container, { tailLines: TAIL_LINES, previous });
        return { files: [{ name, content: redactText(text, secrets) }], notes: [{ name, what }] };
      } catch (error) {
        return { files: [], notes: [{ name, what, problem: textOf(error) }] };
      }
    }),
  );
  return { files: each.flatMap(({ files }) => files), notes: each.flatMap(({ notes }) => notes) };
}

async function askNode(
  kube: KubeWriter,
  pods: readonly OwnPod[],
  node: string,
  leftMs: number,
): Promise<readonly TarEntry[] | string> {
  const inCluster = new NodeDirectory(pods.flatMap((pod) => pod.node ?? [])).find(node);
  const pod = inCluster === undefined ? undefined : agentPodOn(pods, inCluster);
  if (!pod) return 'no pod of its agent runs there';
  const deadlineMs = Math.min(NODE_DEADLINE_MS, leftMs);
  try {
    const argv = ['cnictl', 'support-bundle', '--this-node'];
    return readNodePart(await kube.exec(pod, AGENT_CONTAINER, argv, deadlineMs));
  } catch (error) {
    if (error instanceof KubeError && error.code === 'timeout')
      return `no answer of pod ${pod.namespace}/${pod.name} within ${Math.ceil(deadlineMs / 1000)} s`;
    return textOf(error);
  }
}
