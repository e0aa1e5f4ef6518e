import type { AgentReport, ReadVersions } from '../../ipam/records/agent-report.ts';
import { compareVersions } from '../../ipam/settings/version-order.ts';

/** Agents of one version. */
export interface VersionCount {
  /** Null for agents that do not tell: of releases before 0.2.0. */
  readonly version: string | null;
  readonly agents: number;
  /** Sorted. */
  readonly nodes: readonly string[];
}

/** Sorts versions, the newest first. What is no version comes after all that are, null last. */
function newestFirst(a: string | null, b: string | null): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  const order = compareVersions(b, a);
  if (order !== undefined) return order;
  const [isVersion, isOther] = [a, b].map((each) => compareVersions(each, each) !== undefined);
  if (isVersion !== isOther) return isVersion ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Counts agents by version, the newest first. */
export function countVersions(
  agents: readonly { readonly name: string; readonly version: string | undefined }[],
): VersionCount[] {
  const nodes = new Map<string | null, string[]>();
  for (const { name, version = null } of agents) nodes.set(version, [...(nodes.get(version) ?? []), name]);
  return [...nodes]
    .sort(([a], [b]) => newestFirst(a, b))
    .map(([version, names]) => ({ version, agents: names.length, nodes: names.sort() }));
}

/** Returns the newest of the versions that can be compared; undefined where there is none. */
export function newestOf(versions: readonly (string | null | undefined)[]): string | undefined {
  const known = versions.filter((each) => each !== null && each !== undefined);
  return known
    .filter((each) => compareVersions(each, each) !== undefined)
    .sort((a, b) => newestFirst(a, b))[0];
}

/** Whether the first version is known to be older. One that is not told is older than any. */
export function isOlderThan(version: string | undefined, other: string | undefined): boolean {
  if (other === undefined) return false;
  return version === undefined || (compareVersions(version, other) ?? 0) < 0;
}

const OLDEST: ReadVersions = { ranges: 1, blocks: 1, rules: 1 };
const KINDS = ['ranges', 'blocks', 'rules'] as const;

/**
 * Returns the kinds of records of which the agent cannot read some; those of which it may not, for
 * an agent that does not tell what it reads.
 * @param needed the newest version of each kind in etcd
 */
export function unreadFor(
  report: Pick<AgentReport, 'reads'> | undefined,
  needed: ReadVersions,
): (keyof ReadVersions)[] {
  const reads = report?.reads ?? OLDEST;
  return KINDS.filter((kind) => reads[kind] < needed[kind]);
}
