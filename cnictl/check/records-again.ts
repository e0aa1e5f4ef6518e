import { judgePair, type IndexFinding } from '../../ipam/audit/index-audit.ts';
import type { IndexPair } from '../../ipam/audit/key-pair.ts';
import { placeOfLookup } from '../../ipam/audit/lookup-audit.ts';
import { stillLost } from '../../ipam/audit/lost.ts';
import { auditRanges, findingOf, type RecordFinding } from '../../ipam/audit/record-audit.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import { decodeBlock } from '../../ipam/records/block-record.ts';
import { KEPT } from '../../ipam/records/kept-record.ts';
import { BLOCKS, RANGES } from '../../ipam/records/keys.ts';
import type { Lost } from '../../ipam/records/lost-record.ts';
import { decodeNodeRecord } from '../../ipam/records/node-record.ts';
import { OWN } from '../../ipam/records/own-record.ts';
import { decodeRule, RULES } from '../../ipam/records/rule-record.ts';
import type { Entry } from '../../ipam/records/transaction.ts';
import { readRecord, unreadableOf } from '../../ipam/records/unreadable.ts';
import { readLost } from '../../ipam/store/lost.ts';
import type { Store } from '../../ipam/store/store.ts';
import type { StrandedBlock } from './findings.ts';

/**
 * Reads suspected keys and their blocks again, each pair as of one moment.
 * @throws IpamError `store-…`
 */
export async function pairsAgain(store: Store, pairs: readonly IndexPair[]): Promise<IndexFinding[]> {
  const findings: IndexFinding[] = [];
  for (const pair of pairs) {
    const [index, block] = await store.get([pair.indexKey, pair.blockKey]);
    const finding = judgeReadable(pair, index, block);
    if (finding) findings.push(finding);
  }
  return findings;
}

/** Leaves a record that became unreadable in between to the next check. */
function judgeReadable(
  pair: IndexPair,
  index: Entry | undefined,
  block: Entry | undefined,
): IndexFinding | undefined {
  try {
    return judgePair(pair, index, block);
  } catch (error) {
    if (error instanceof IpamError && error.code === 'corrupt-record') return undefined;
    throw error;
  }
}

/**
 * Reads unreliable records again and returns those that are still unreliable.
 * @throws IpamError `store-…`
 */
export async function recordsAgain(
  store: Store,
  findings: readonly RecordFinding[],
): Promise<RecordFinding[]> {
  if (findings.length === 0) return [];
  const survey = await auditRanges(store);
  const entries = await store.get(findings.map(({ key }) => key));
  return entries.flatMap((entry) => {
    if (!entry) return [];
    if (entry.key.startsWith(RANGES)) return survey.findings.filter(({ key }) => key === entry.key);
    if (entry.key.startsWith(BLOCKS)) return survey.inspect(entry).finding ?? [];
    return unreadableOf([readRecord(entry, decoderOf(entry.key))]).map(findingOf);
  });
}

function decoderOf(key: string): (key: string, value: string) => unknown {
  if (key.startsWith(RULES)) return decodeRule;
  const isLookup = key.startsWith(KEPT) || key.startsWith(OWN);
  return isLookup ? (each, value) => placeOfLookup({ key: each, value }) : decodeNodeRecord;
}

/**
 * Reads blocks of removed nodes again and returns those that still exist and still name that node.
 * @throws IpamError `store-…`
 */
export async function blocksAgain(
  store: Store,
  stranded: readonly StrandedBlock[],
): Promise<StrandedBlock[]> {
  const entries = await store.get(stranded.map(({ key }) => key));
  return stranded.filter(({ node }, i) => {
    const entry = entries[i];
    const read = entry && readRecord(entry, decodeBlock);
    return read !== undefined && 'value' in read && read.value.node === node;
  });
}

/**
 * Reads again what nodes lost, and returns those of the nodes that still lack a range.
 * @throws IpamError `store-…`
 */
export async function lostAgain(store: Store, first: Lost): Promise<Lost> {
  const { ranges } = await auditRanges(store);
  const now = stillLost(await readLost(store), ranges);
  const before = new Set(first.nodes.map(({ node }) => node));
  return { ...now, nodes: now.nodes.filter(({ node }) => before.has(node)) };
}
