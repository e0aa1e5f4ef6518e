/** Brings together what was to be asked and what the clients wrote. Pure. */
import { BlockList } from 'node:net';
import type { Awaited, Outcome, Task } from './ask.ts';
import { MACHINE, type Check } from './check.ts';
import { familyOf, type Facts } from './facts.ts';
import { adviceFor, judge } from './judge.ts';
import { CONTAINER } from './manifests.ts';
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
  /** The subnets of its own addresses, such as `10.20.0.5/16`. */
  readonly subnets: readonly string[];
  /** Whether it did all its tasks. */
  readonly isDone: boolean;
}

/** Ignores lines that are not the script's, such as warnings of Node. */
export function parseLog(text: string): Written {
  const outcomes = new Map<number, Outcome>();
  let leaver: string | undefined;
  let subnets: readonly string[] = [];
  let isDone = false;
  for (const line of text.split('\n')) {
    const { task, outcome, leaver: named, subnets: own, done } = parseLine(line);
    if (typeof named === 'string') leaver = named;
    if (Array.isArray(own)) subnets = own.map(String);
    if (done === true) isDone = true;
    if (typeof task === 'number' && typeof outcome === 'object' && outcome !== null)
      outcomes.set(task, outcome);
  }
  return { outcomes, leaver, subnets, isDone };
}

type Line = Partial<Record<'task' | 'outcome' | 'leaver' | 'subnets' | 'done', unknown>>;

function parseLine(line: string): Line {
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
  /** Why a client's log could not be read, by its name. */
  readonly unread: ReadonlyMap<string, string>;
  /** The subnets of the pod `published`; none where it did not tell. */
  readonly subnets: readonly string[];
  /** Whether the machine where cnictl runs has no way to the nodes. */
  readonly machineIsApart: boolean;
  /** Whether the operator says that the nodes have the key `masqueradeForwarded`. */
  readonly hasKey: boolean;
}

const WITHOUT_KEY =
  'not reached, as without the key masqueradeForwarded; where the nodes have it: --masquerade-forwarded';

const APART = `${MACHINE} does not reach the nodes`;

/** @param outcome undefined when the client wrote none */
export function rowOf(check: Check, outcome: Outcome | undefined, known: Known): Row {
  const { name, needs } = check;
  if (check.from === MACHINE && known.machineIsApart)
    return { result: 'skipped', name, from: check.from, reason: APART };
  const node = known.pods.find((pod) => pod.name === check.from)?.node ?? '';
  const place = { from: placeOf(check.from, known), to: toText(check, known) };
  const missing = [...needs, check.from].find((pod) => known.broken.has(pod));
  if (missing !== undefined)
    return {
      ...{ result: 'failed', name, ...place, expected: `pod ${missing} runs` },
      seen: known.broken.get(missing) ?? '',
      advice: `With --keep: kubectl -n ${known.namespace} describe pod ${missing}`,
    };
  if (outcome === undefined) return withoutOutcome(check, place, known);
  const { ok, expected, seen } = judge(check, outcome);
  if (ok) return { result: 'ok', name, ...place, expected, seen };
  if (needsKey(check, known) && !known.hasKey)
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

/** The client did not get to it, or nobody could read what it wrote. */
function withoutOutcome(check: Check, place: Pick<Row, 'from' | 'to'>, known: Known): Row {
  const unread = known.unread.get(check.from);
  const log = `With --keep: kubectl -n ${known.namespace} logs ${check.from} -c ${CONTAINER}`;
  return {
    ...{ result: 'failed', name: check.name, ...place, expected: judge(check, {}).expected },
    seen: unread === undefined ? 'no result: the client did not get to it' : `no result: ${unread}`,
    advice: log,
  };
}

/** portmap masquerades connections of the published pod's own subnet, and no others. */
function needsKey(check: Check, { addresses, subnets }: Known): boolean {
  if (check.needsKey === true) return true;
  if (check.needsKeyBeyondSubnet !== true) return false;
  const { address } = check.ask;
  const own = addresses.get(check.from)?.find((ip) => familyOf(ip) === familyOf(address));
  const same = subnets.filter((subnet) => familyOf(subnet.replace(/\/.*/, '')) === familyOf(address));
  return own !== undefined && same.length > 0 && !same.some((subnet) => isWithin(own, subnet));
}

function isWithin(address: string, subnet: string): boolean {
  const [base = '', prefix] = subnet.split('/');
  const list = new BlockList();
  const family = familyOf(address) === 6 ? 'ipv6' : 'ipv4';
  list.addSubnet(base, Number(prefix), family);
  return list.check(address, family);
}

/** Services without an address that pods can ask are no success, though no row failed. */
export function rowsOfNothing({ services, families }: Facts): Row[] {
  if ([...services.values()].some(({ addresses }) => addresses.length > 0)) return [];
  const pods = families.map((family) => `IPv${family}`).join(' and ');
  return [
    {
      ...{ result: 'failed', name: 'Services', from: 'pods', to: 'any Service' },
      expected: 'Services have addresses of a family that pods have',
      seen: `pods have ${pods} addresses, and no Service has one`,
      advice: 'Compare the subnets of `cnictl range list` with the Service subnets of kube-apiserver',
    },
  ];
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
