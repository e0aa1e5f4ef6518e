import type { KubeApi, Moment, Node } from '../../cni/kube/api.ts';
import { IndexComparison } from '../../ipam/audit/index-audit.ts';
import type { IndexPair } from '../../ipam/audit/key-pair.ts';
import { LookupComparison } from '../../ipam/audit/lookup-audit.ts';
import { KeptPods } from '../../ipam/audit/kept-pods.ts';
import { stillLost } from '../../ipam/audit/lost.ts';
import { OtherNetworks } from '../../ipam/audit/other-networks.ts';
import { PodAudit } from '../../ipam/audit/pod-audit.ts';
import {
  auditRanges,
  findingOf,
  type RecordAudit,
  type RecordFinding,
} from '../../ipam/audit/record-audit.ts';
import { ruleOf } from '../../ipam/model/holder.ts';
import type { Block } from '../../ipam/model/block.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { KEPT } from '../../ipam/records/kept-record.ts';
import { BLOCKS, NODES } from '../../ipam/records/keys.ts';
import type { Lost } from '../../ipam/records/lost-record.ts';
import { decodeNodeRecord } from '../../ipam/records/node-record.ts';
import { OWN } from '../../ipam/records/own-record.ts';
import type { Entry } from '../../ipam/records/transaction.ts';
import { readRecord } from '../../ipam/records/unreadable.ts';
import { readLost } from '../../ipam/store/lost.ts';
import { readAgain, type Store } from '../../ipam/store/store.ts';
import { readRules } from '../../ipam/store/rules.ts';
import type { StrandedBlock } from './findings.ts';
import { lookAtKept, type KeptLook } from './kept.ts';
import { ClusterNodes, listNodes, noneKnownText } from './nodes.ts';
import type { Looking, Progress } from './progress.ts';

/** Holds what one pass over everything suspects. */
export interface FirstLook {
  readonly podAudit: PodAudit;
  /** Blocks and the keys that follow from them, where they disagree. */
  readonly pairs: readonly IndexPair[];
  readonly records: readonly RecordFinding[];
  readonly stranded: readonly StrandedBlock[];
  readonly nodes: ClusterNodes;
  readonly lost: Lost;
  readonly kept: KeptLook;
  /** Time of the pod list. */
  readonly moment: Moment;
}

/**
 * Reads everything once: allocations first, pods second (rule 6), so that a pod that is created in
 * between is never taken for a leak. This function rejects unless every list is complete. It keeps
 * only counts and what is suspicious in memory.
 * @throws IpamError, KubeError, the signal's reason
 */
export function firstLook(ipam: Ipam, kube: KubeApi, looking: Looking): Promise<FirstLook> {
  return readAgain(() => lookOnce(ipam, kube, looking));
}

async function lookOnce({ store, effects }: Ipam, kube: KubeApi, looking: Looking): Promise<FirstLook> {
  const survey = await auditRanges(store);
  if (survey.ranges.length + survey.findings.length === 0)
    looking.warn(
      'etcd holds no range below this prefix, so nothing of it can be leaked: is --etcd-prefix right?',
    );
  const podAudit = new PodAudit(survey.ranges);
  const keptPods = new KeptPods();
  const lookups = new LookupComparison();
  const now = effects.now();
  const onBlock = (key: string, block: Block): void => {
    podAudit.addBlock(key, block);
    keptPods.addBlock(key, block, now);
    lookups.addBlock(key, block);
  };
  const records = [...survey.findings, ...(await readBlocks(store, survey, podAudit, onBlock, looking))];
  const index = new IndexComparison(podAudit.blocks);
  records.push(...(await readIndex(store, index, records, looking)));
  records.push(...(await readLookups(store, lookups, records, looking)));
  const rules = await readRules(store);
  records.push(...rules.unreadable.map(findingOf));
  const listed = await listNodes(kube, looking);
  // An address of a range that cannot be read would count as one of no range.
  if (survey.findings.length === 0)
    podAudit.collectStrays(new OtherNetworks(looking.otherSubnets ?? [], listed ?? []));
  const { signal, progress } = looking;
  const moment = await kube.walkPods(
    {
      restart: () => {
        podAudit.restartPods();
        keptPods.restartPods();
      },
      add: (pods) => {
        for (const pod of pods) {
          podAudit.addPod(pod);
          keptPods.addPod(pod);
        }
      },
    },
    { ...(signal && { signal }), onProgress: (done, total) => progress('pods', done, total) },
  );
  const kept = await lookAtKept(kube, keptPods, rules.rules, podAudit.pods > 0, looking);
  const nodes = compareNodes(listed, podAudit);
  if (nodes.standing === 'none-known') looking.warn(`${noneKnownText(kube)} Nothing is said of nodes`);
  const lost = stillLost(await readLost(store), survey.ranges);
  const stranded = strandedBlocks(podAudit, nodes);
  const pairs = [...index.suspected, ...lookups.suspected];
  return { kept, lost, podAudit, pairs, records, nodes, stranded, moment };
}

async function readBlocks(
  store: Store,
  survey: RecordAudit,
  podAudit: PodAudit,
  onBlock: (key: string, block: Block) => void,
  looking: Looking,
): Promise<RecordFinding[]> {
  const findings: RecordFinding[] = [];
  for await (const entry of scanned(store, BLOCKS, 'blocks', looking)) {
    const { block, finding } = survey.inspect(entry);
    if (finding) findings.push(finding);
    if (block && !finding) onBlock(entry.key, block);
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

/** Compares the keys by which pods find kept addresses and own blocks with the blocks. */
async function readLookups(
  store: Store,
  lookups: LookupComparison,
  known: readonly RecordFinding[],
  looking: Looking,
): Promise<RecordFinding[]> {
  const opaque = new Set(known.map(({ key }) => key));
  const findings: RecordFinding[] = [];
  for (const [prefix, what] of [
    [KEPT, 'keys of kept addresses'],
    [OWN, 'keys of own blocks'],
  ] as const)
    for await (const entry of scanned(store, prefix, what, looking)) {
      const read = readRecord(entry, (key, value) => lookups.add({ key, value }, opaque));
      if ('unreadable' in read) findings.push(findingOf(read.unreadable));
    }
  lookups.finish();
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

/** Compares after the pods were listed, because they prove aliases. */
export const compareNodes = (listed: readonly Node[] | undefined, podAudit: PodAudit): ClusterNodes =>
  new ClusterNodes(
    listed,
    podAudit.blocks.filter(isOfNode).map(({ node }) => node),
    podAudit.aliases,
  );

const isOfNode = (block: { readonly node: string }): boolean => ruleOf(block) === undefined;

function strandedBlocks(podAudit: PodAudit, nodes: ClusterNodes): StrandedBlock[] {
  return podAudit.blocks
    .filter((block) => isOfNode(block) && nodes.isGone(block.node))
    .map(({ key, node, claimedAt }) => ({ key, node, since: claimedAt }));
}
