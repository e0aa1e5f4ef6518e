import { type Ipam } from '../../ipam/allocator.ts';
import { Census } from '../../ipam/census.ts';
import { isDrainKey } from '../../ipam/node-drain.ts';
import { IndexComparison } from '../../ipam/node-index.ts';
import { BLOCKS, decodeNodeEntry, NODES } from '../../ipam/records.ts';
import type { Entry, Store } from '../../ipam/store.ts';
import { readRecord, surveyRanges, type RangeSurvey, type RecordFinding } from '../../ipam/survey.ts';
import type { KubeApi, Moment } from '../kube/api.ts';
import { KubeError } from '../kube/errors.ts';
import type { StrandedBlock } from './findings.ts';
import type { Looking, Progress } from './progress.ts';

/** Names of the nodes that the API server knows; undefined where it may not be asked, or names nodes otherwise. */
export type NodeNames = ReadonlySet<string> | undefined;

/** What one pass over everything suspects. */
export interface FirstLook {
  readonly census: Census;
  readonly index: IndexComparison;
  readonly records: readonly RecordFinding[];
  readonly stranded: readonly StrandedBlock[];
  readonly nodes: NodeNames;
  /** When the pods were listed. */
  readonly moment: Moment;
}

/**
 * Reads everything once: allocations first, pods second (rule 6), so that a pod which is made meanwhile is never taken for a
 * leak. All lists are whole, or this rejects. Nothing is held but numbers and what is suspicious.
 * @throws IpamError, KubeError, the signal's reason
 */
export async function firstLook(ipam: Ipam, kube: KubeApi, looking: Looking): Promise<FirstLook> {
  const { store } = ipam;
  const survey = await surveyRanges(store);
  if (survey.ranges.length === 0 && survey.findings.length === 0)
    looking.warn(
      'etcd holds no range below this prefix, so nothing of it can be leaked: is --etcd-prefix right?',
    );
  const census = new Census(survey.ranges);
  const records = [...survey.findings, ...(await readBlocks(store, survey, census, looking))];
  const index = new IndexComparison(census.blocks);
  records.push(...(await readIndex(store, index, records, looking)));
  const nodes = await nodeNames(kube, census, looking);
  const { signal, progress } = looking;
  const moment = await kube.walkPods(
    { restart: () => census.restartPods(), add: (pods) => pods.forEach((pod) => census.addPod(pod)) },
    { ...(signal && { signal }), onProgress: (done, total) => progress('pods', done, total) },
  );
  return { census, index, records, nodes, stranded: strandedBlocks(census, nodes), moment };
}

async function readBlocks(
  store: Store,
  survey: RangeSurvey,
  census: Census,
  looking: Looking,
): Promise<RecordFinding[]> {
  const findings: RecordFinding[] = [];
  for await (const entry of scanned(store, BLOCKS, 'blocks', looking)) {
    const { block, finding } = survey.inspect(entry);
    if (finding) findings.push(finding);
    if (block && !finding) census.addBlock(entry.key, block);
    else census.addOpaque(entry.key, block);
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
    if (isDrainKey(entry.key)) continue;
    const read = readRecord(entry, decodeNodeEntry);
    if ('finding' in read) findings.push(read.finding);
    else index.add(entry.key, read.value, opaque);
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
 * cellnet's nodes may bear other names than Kubernetes gives them: where not one of them is known there, nothing can be said
 * of any.
 */
export async function nodeNames(
  kube: KubeApi,
  census: Census,
  { warn, signal }: Omit<Looking, 'progress'>,
): Promise<NodeNames> {
  const names = await listedNodes(kube, warn, signal);
  if (!names || census.blocks.length === 0) return names;
  if (census.blocks.some(({ node }) => names.has(node))) return names;
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

export function strandedBlocks(census: Census, nodes: NodeNames): StrandedBlock[] {
  if (!nodes) return [];
  return census.blocks
    .filter(({ node }) => !nodes.has(node))
    .map(({ key, node, claimedAt }) => ({ key, node, since: claimedAt }));
}
