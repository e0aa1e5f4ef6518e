import type { KubeApi, Moment } from '../../cni/kube/api.ts';
import { KubeError } from '../../cni/kube/errors.ts';
import { IndexComparison } from '../../ipam/audit/index-audit.ts';
import { PodAudit } from '../../ipam/audit/pod-audit.ts';
import {
  auditRanges,
  findingOf,
  type RecordAudit,
  type RecordFinding,
} from '../../ipam/audit/record-audit.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { BLOCKS, NODES } from '../../ipam/records/keys.ts';
import { decodeNodeRecord } from '../../ipam/records/node-record.ts';
import type { Entry } from '../../ipam/records/transaction.ts';
import { readRecord } from '../../ipam/records/unreadable.ts';
import type { Store } from '../../ipam/store/store.ts';
import type { StrandedBlock } from './findings.ts';
import type { Looking, Progress } from './progress.ts';

/**
 * Names of the nodes that the API server knows. Undefined when it forbids the list, or when none of
 * our nodes is in it.
 */
export type NodeNames = ReadonlySet<string> | undefined;

/** Holds what one pass over everything suspects. */
export interface FirstLook {
  readonly podAudit: PodAudit;
  readonly index: IndexComparison;
  readonly records: readonly RecordFinding[];
  readonly stranded: readonly StrandedBlock[];
  readonly nodes: NodeNames;
  /** Time of the pod list. */
  readonly moment: Moment;
}

/**
 * Reads everything once: allocations first, pods second (rule 6), so that a pod that is created in
 * between is never taken for a leak. This function rejects unless every list is complete. It keeps
 * only counts and what is suspicious in memory.
 * @throws IpamError, KubeError, the signal's reason
 */
export async function firstLook(ipam: Ipam, kube: KubeApi, looking: Looking): Promise<FirstLook> {
  const { store } = ipam;
  const survey = await auditRanges(store);
  if (survey.ranges.length === 0 && survey.findings.length === 0)
    looking.warn(
      'etcd holds no range below this prefix, so nothing of it can be leaked: is --etcd-prefix right?',
    );
  const podAudit = new PodAudit(survey.ranges);
  const records = [...survey.findings, ...(await readBlocks(store, survey, podAudit, looking))];
  const index = new IndexComparison(podAudit.blocks);
  records.push(...(await readIndex(store, index, records, looking)));
  const nodes = await nodeNames(kube, podAudit, looking);
  const { signal, progress } = looking;
  const moment = await kube.walkPods(
    { restart: () => podAudit.restartPods(), add: (pods) => pods.forEach((pod) => podAudit.addPod(pod)) },
    { ...(signal && { signal }), onProgress: (done, total) => progress('pods', done, total) },
  );
  return { podAudit, index, records, nodes, stranded: strandedBlocks(podAudit, nodes), moment };
}

async function readBlocks(
  store: Store,
  survey: RecordAudit,
  podAudit: PodAudit,
  looking: Looking,
): Promise<RecordFinding[]> {
  const findings: RecordFinding[] = [];
  for await (const entry of scanned(store, BLOCKS, 'blocks', looking)) {
    const { block, finding } = survey.inspect(entry);
    if (finding) findings.push(finding);
    if (block && !finding) podAudit.addBlock(entry.key, block);
    else podAudit.addOpaque(entry.key, block);
  }
  return findings;
}

async function readIndex(
  store: Store,
  index: IndexComparison,
  known: readonly RecordFinding[],
  looking: Looking,
): Promise<RecordFinding[]> {
  const opaque = new Set(known.map(({ key }) => key));
  const findings: RecordFinding[] = [];
  for await (const entry of scanned(store, NODES, 'index keys', looking)) {
    const read = readRecord(entry, decodeNodeRecord);
    if ('unreadable' in read) findings.push(findingOf(read.unreadable));
    else if (read.value) index.add(entry.key, read.value, opaque);
  }
  index.finish();
  return findings;
}

async function* scanned(
  store: Store,
  prefix: string,
  what: string,
  { progress, signal }: { readonly progress: Progress; readonly signal?: AbortSignal | undefined },
): AsyncIterable<Entry> {
  const [total = 0] = await store.count([prefix]);
  let done = 0;
  for await (const page of store.scan(prefix)) {
    signal?.throwIfAborted();
    yield* page;
    done += page.length;
    progress(what, done, total);
  }
}

/**
 * Returns undefined and warns when the API server knows none of our nodes. cellnet's node names may
 * differ from those in Kubernetes, so a missing node then proves nothing.
 */
export async function nodeNames(
  kube: KubeApi,
  podAudit: PodAudit,
  { warn, signal }: Omit<Looking, 'progress'>,
): Promise<NodeNames> {
  const names = await listedNodes(kube, warn, signal);
  if (!names || podAudit.blocks.length === 0) return names;
  if (podAudit.blocks.some(({ node }) => names.has(node))) return names;
  warn(
    `none of the nodes that hold blocks is a node of ${kube.server}: do they bear other names there? Nothing is said of nodes`,
  );
  return undefined;
}

async function listedNodes(
  kube: KubeApi,
  warn: (text: string) => void,
  signal: AbortSignal | undefined,
): Promise<NodeNames> {
  try {
    const nodes = await kube.listNodes(signal && { signal });
    return new Set(nodes.map(({ name }) => name));
  } catch (error) {
    if (!(error instanceof KubeError) || error.code !== 'forbidden') throw error;
    warn(`${kube.server} forbids to list nodes: nothing is said of nodes that are gone`);
    return undefined;
  }
}

export function strandedBlocks(podAudit: PodAudit, nodes: NodeNames): StrandedBlock[] {
  if (!nodes) return [];
  return podAudit.blocks
    .filter(({ node }) => !nodes.has(node))
    .map(({ key, node, claimedAt }) => ({ key, node, since: claimedAt }));
}
