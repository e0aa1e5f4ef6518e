import * as v from 'valibot';
import type { Ipam } from './allocator.ts';
import { decodeValue } from './decode.ts';
import { IpamError } from './errors.ts';
import { NODES, nodePrefix, SCHEMA_VERSION } from './records.ts';
import { retryLostRaces } from './retry.ts';
import { absent, del, put, unchanged } from './store.ts';

/**
 * The mark of a draining node lies among the index of its blocks: so it is read with it, at no further cost, and whoever stands on
 * an index that was read before it was set loses the race (decision 17).
 */
const MARK = 'draining';
const markRecord = v.strictObject({
  v: v.literal(SCHEMA_VERSION),
  since: v.pipe(v.string(), v.isoTimestamp()),
});

export const drainKey = (node: string): string => `${nodePrefix(node)}${MARK}`;

/** Whether a key below `nodes/` is the mark of a draining node, and no entry of an index. */
export function isDrainKey(key: string): boolean {
  const [, , ...rest] = key.split('/');
  return key.startsWith(NODES) && rest.length === 1 && rest[0] === MARK;
}

/** @returns since when, in milliseconds since 1970. @throws IpamError `corrupt-record` */
export function decodeDrainMark(key: string, value: string): number {
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch (cause) {
    throw new IpamError('corrupt-record', `etcd key '${key}' holds no JSON`, { cause });
  }
  const result = decodeValue(markRecord, json);
  if (!result.ok) throw new IpamError('corrupt-record', `etcd key '${key}': ${result.problem.message}`);
  return Date.parse(result.value.since);
}

/** Since when the node is draining, in milliseconds since 1970; undefined where it is not. @throws IpamError */
export async function drainingSince({ store }: Ipam, node: string): Promise<number | undefined> {
  const [entry] = await store.get([drainKey(node)]);
  return entry && decodeDrainMark(entry.key, entry.value);
}

/**
 * Sets or takes away the mark. Nothing new is given out on a node that has it, by whichever program; what is given out stays.
 * @returns whether that was a change
 * @throws IpamError `contention`, `store-…`
 */
export function setNodeDraining(ipam: Ipam, node: string, draining: boolean): Promise<boolean> {
  return retryLostRaces(`setting node '${node}' to draining`, ipam.around, async () => {
    const key = drainKey(node);
    const [entry] = await ipam.store.get([key]);
    if (Boolean(entry) === draining) return false;
    const since = new Date(ipam.around.now()).toISOString();
    const done = entry
      ? await ipam.store.commit([unchanged(entry)], [del(key)])
      : await ipam.store.commit([absent(key)], [put(key, JSON.stringify({ v: SCHEMA_VERSION, since }))]);
    return done === undefined ? undefined : true;
  });
}

/** What an ADD on a draining node is told. */
export function drainingError(node: string): IpamError {
  return new IpamError('exhausted', `node '${node}' is draining: nothing new is given out on it`, {
    remedy: `Start the pod on another node, or end it: cnictl node undrain ${node}`,
  });
}

/** Names of the nodes that are draining. @throws IpamError `store-…` */
export async function drainingNodes({ store }: Ipam): Promise<ReadonlySet<string>> {
  const nodes = new Set<string>();
  for await (const page of store.scan(NODES, { keysOnly: true }))
    for (const { key } of page) if (isDrainKey(key)) nodes.add(key.split('/')[1] ?? '');
  return nodes;
}
