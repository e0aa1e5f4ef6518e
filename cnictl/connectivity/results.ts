/** Brings together what was to be asked and what the clients wrote. Pure. */
import type { Awaited, Outcome, Task } from './ask.ts';
import { MACHINE, type Check } from './check.ts';
import { adviceFor, judge } from './judge.ts';
import type { PodPlan } from './plan.ts';

export interface Row {
  readonly result: 'ok' | 'failed' | 'skipped';
  readonly name: string;
  /** The client, with its node and address. Absent where nothing was asked. */
  readonly from?: string;
  readonly to?: string;
  readonly expected?: string;
  readonly seen?: string;
  /** Why it was skipped. */
  readonly reason?: string;
  /** What to look at next. */
  readonly advice?: string;
}

/** Returns the tasks of a client, in the order of its checks. */
export const tasksOf = (checks: readonly Check[]): Task[] =>
  checks.map((check) => ({ ask: check.ask, until: awaited(check) }));

function awaited({ expected, needs, needsKey }: Check): Awaited {
  if (needsKey === true) return 'nothing';
  if (expected.kind === 'each' || expected.kind === 'moved') return needs;
  return expected.kind === 'refusal' ? 'refusal' : 'answer';
}

/** What a client wrote so far. */
export interface Written {
  /** By the index of the task. */
  readonly outcomes: ReadonlyMap<number, Outcome>;
  /** Of `move`: the connections are open, and this server may go. */
  readonly leaver: string | undefined;
}

/** Ignores lines that are not the script's, such as warnings of Node. */
export function parseLog(text: string): Written {
  const outcomes = new Map<number, Outcome>();
  let leaver: string | undefined;
  for (const line of text.split('\n')) {
    const { task, outcome, leaver: named } = parseLine(line);
    if (typeof named === 'string') leaver = named;
    if (typeof task === 'number' && typeof outcome === 'object' && outcome !== null)
      outcomes.set(task, outcome);
  }
  return { outcomes, leaver };
}

function parseLine(line: string): { task?: unknown; outcome?: unknown; leaver?: unknown } {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** What is known of the pods at the end. */
export interface Known {
  readonly namespace: string;
  readonly pods: readonly PodPlan[];
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  /** Why a pod did not run, by its name. */
  readonly broken: ReadonlyMap<string, string>;
  /** Whether the operator says that the nodes have the key `masqueradeForwarded`. */
  readonly hasKey: boolean;
}

const WITHOUT_KEY =
  'not reached, as without the key masqueradeForwarded; where the nodes have it: --masquerade-forwarded';

/** @param outcome undefined when the client wrote none */
export function rowOf(check: Check, outcome: Outcome | undefined, known: Known): Row {
  const { name, needs } = check;
  const node = known.pods.find((pod) => pod.name === check.from)?.node ?? '';
  const place = { from: placeOf(check.from, known), to: toText(check, known) };
  const missing = [...needs, check.from].find((pod) => known.broken.has(pod));
  if (missing !== undefined)
    return {
      ...{ result: 'failed', name, ...place, expected: `pod ${missing} runs` },
      seen: known.broken.get(missing) ?? '',
      advice: `With --keep: kubectl -n ${known.namespace} describe pod ${missing}`,
    };
  const { ok, expected, seen } = judge(
    check,
    outcome ?? { error: 'no result: the client did not get to it' },
  );
  if (ok) return { result: 'ok', name, ...place, expected, seen };
  if (check.needsKey === true && !known.hasKey)
    return { result: 'skipped', name, ...place, expected, seen, reason: WITHOUT_KEY };
  return {
    result: 'failed',
    name,
    ...place,
    expected,
    seen,
    advice: adviceFor(check, known.namespace, node),
  };
}

function placeOf(name: string, { pods, addresses }: Known): string {
  const pod = pods.find((each) => each.name === name);
  if (name === MACHINE || pod === undefined) return name;
  const ips = addresses.get(name) ?? [];
  return `${name} on ${pod.node}${ips.length === 0 ? '' : ` (${ips.join(', ')})`}`;
}

function toText({ to, needs }: Check, known: Known): string {
  const servers = needs.map((name) => placeOf(name, known)).join('; ');
  return servers === '' ? to : `${to}: ${servers}`;
}
