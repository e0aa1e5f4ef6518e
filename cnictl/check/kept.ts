import type { KubeApi } from '../../cni/kube/api.ts';
import { KubeError } from '../../cni/kube/errors.ts';
import {
  isDue,
  isTold,
  judgeKept,
  keptByName,
  nameOf,
  type KeptAddress,
  type KeptPods,
  type KeptTerms,
  type Unneeded,
} from '../../ipam/audit/kept-pods.ts';
import { StatefulSets } from '../../ipam/audit/scale-down.ts';
import { formatAddress } from '../../ipam/model/address.ts';
import type { Rule } from '../../ipam/model/rule.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { decodeBlock } from '../../ipam/records/block-record.ts';
import { readRecord } from '../../ipam/records/unreadable.ts';
import { readRules } from '../../ipam/store/rules.ts';
import { lookUpPods } from './pods.ts';
import type { Looking } from './progress.ts';

/** What one look finds of addresses that are kept for pods which nobody makes any more. */
export interface KeptLook {
  readonly unneeded: readonly Unneeded[];
  /** Marked as scaled down by an earlier check. Their pods may come again. */
  readonly pardoned: readonly KeptAddress[];
  /** Why nothing is said of them. */
  readonly problem: string | undefined;
}

/** A kept address of the report. */
export type KeptFinding = Unneeded & {
  /** Whether its time is over, so that a check with `--release` ends it. */
  readonly isDue: boolean;
  /** When it is, in milliseconds since 1970; undefined: no check has counted yet, or none will. */
  readonly dueAt: number | undefined;
};

/**
 * Judges the kept addresses after the pods were listed. Where the API server forbids to list
 * StatefulSets, or has no pod at all, data is missing, which proves nothing (rule 6).
 * @throws KubeError
 */
export async function lookAtKept(
  kube: KubeApi,
  kept: KeptPods,
  rules: readonly Rule[],
  hasPods: boolean,
  looking: Looking,
): Promise<KeptLook> {
  const nothing = { unneeded: [], pardoned: [], problem: undefined };
  if (kept.size === 0 || !hasPods) return nothing;
  const sets = await listStatefulSets(kube, looking);
  if (!(sets instanceof KubeError)) return { ...kept.judge(sets, rules), problem: undefined };
  const problem = `${kube.server} forbids to list statefulsets: nothing is said of addresses that are kept for pods of StatefulSets that were scaled down`;
  (looking.warnOnce ?? looking.warn)(`${problem}. ${sets.remedy}`);
  return { ...nothing, problem };
}

/** Returns the error where the API server forbids it. @throws KubeError any other */
async function listStatefulSets(kube: KubeApi, { signal }: Looking): Promise<StatefulSets | KubeError> {
  try {
    return new StatefulSets(await kube.listStatefulSets(signal && { signal }));
  } catch (error) {
    if (!(error instanceof KubeError) || error.code !== 'forbidden') throw error;
    return error;
  }
}

/** Returns what the report tells of a look. */
export const keptFindings = (
  { unneeded }: Pick<KeptLook, 'unneeded'>,
  terms: KeptTerms,
  now: number,
): KeptFinding[] =>
  unneeded
    .filter((each) => isTold(each, terms, now))
    .map((each) => {
      const { scaledDownAt } = each.kept.slot;
      const isCounted = each.reason === 'scaled-down' && scaledDownAt !== undefined;
      const dueAt = isCounted ? scaledDownAt + terms.afterMs : undefined;
      return { ...each, isDue: isDue(each, terms, now), dueAt };
    });

/** Number of blocks read in one request. */
const KEYS_AT_ONCE = 50;

/**
 * Looks again at addresses whose keeping may end: at their slots first, then at StatefulSets and
 * pods. Both the second and the last look are this one.
 * @returns those of which all is as it was
 * @throws IpamError `store-…`, KubeError, the signal's reason
 */
export async function stillDue(
  ipam: Ipam,
  kube: KubeApi,
  seen: readonly KeptFinding[],
  terms: KeptTerms,
  looking: Looking,
): Promise<KeptFinding[]> {
  if (seen.length === 0) return [];
  const { rules } = await readRules(ipam.store);
  const held = await readKept(ipam, seen, looking);
  const sets = await listStatefulSets(kube, looking);
  if (sets instanceof KubeError) return [];
  const names = new Set(held.map(nameOf));
  const pods = await lookUpPods(kube, { names, uids: new Set() }, looking);
  const now = ipam.effects.now();
  const unneeded = held.flatMap((kept): Unneeded[] => {
    const unmade = pods.byName.has(nameOf(kept)) ? undefined : judgeKept(kept, sets, rules);
    return unmade ? [{ kept, ...unmade }] : [];
  });
  const before = new Map(seen.map((each) => [keptId(each.kept), each.reason]));
  return keptFindings({ unneeded }, terms, now).filter(
    (each) => each.isDue && before.get(keptId(each.kept)) === each.reason,
  );
}

/** Identifies what is kept: another pod's keeping of the address has another sequence. */
export const keptId = ({ address, slot }: KeptAddress): string =>
  `${formatAddress(address)} ${slot.sequence}`;

/** Reads the blocks again, and returns those addresses that are kept as they were. */
async function readKept(
  { store, effects }: Ipam,
  seen: readonly KeptFinding[],
  { signal, progress }: Looking,
): Promise<KeptAddress[]> {
  const wanted = new Set(seen.map(({ kept }) => keptId(kept)));
  const keys = [...new Set(seen.map(({ kept }) => kept.blockKey))];
  const held: KeptAddress[] = [];
  for (let i = 0; i < keys.length; i += KEYS_AT_ONCE) {
    signal?.throwIfAborted();
    for (const entry of await store.get(keys.slice(i, i + KEYS_AT_ONCE))) {
      const read = entry && readRecord(entry, decodeBlock);
      if (!read || 'unreadable' in read) continue;
      const kept = keptByName(entry.key, read.value, effects.now());
      held.push(...kept.filter((each) => wanted.has(keptId(each))));
    }
    progress('kept addresses again', Math.min(i + KEYS_AT_ONCE, keys.length), keys.length);
  }
  return held;
}
