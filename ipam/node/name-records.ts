import { messageOf } from '../model/errors.ts';
import { ALIVE, aliveKey, decodeAliveRecord, type AliveRecord } from '../records/alive-record.ts';
import { nodePrefix } from '../records/keys.ts';
import {
  decodeMachineRecord,
  encodeMachineRecord,
  machineKey,
  MACHINES,
  type MachineRecord,
} from '../records/machine-record.ts';
import { asRead, del, put, same, type Entry } from '../records/transaction.ts';
import { scanAll, type Store } from '../store/store.ts';

/** Which machine has a node's name, and whether an agent is alive under it. */
export interface NameView {
  readonly node: string;
  /** Undefined before the first write under the name. */
  readonly owner: { readonly entry: Entry; readonly record: MachineRecord } | undefined;
  /** Undefined when etcd has not heard of an agent for a while. That proves no machine dead. */
  readonly alive: { readonly entry: Entry; readonly record: AliveRecord } | undefined;
  /** Names the key that cannot be read, and says what is wrong. Such a record counts as missing. */
  readonly problems: readonly string[];
}

/** @throws IpamError `store-…` */
export async function viewName(store: Store, node: string): Promise<NameView> {
  const [owner, alive] = await store.get([machineKey(node), aliveKey(node)]);
  return nameViewOf(node, owner, alive);
}

/**
 * Returns every node name that a machine has, or under which an agent is alive.
 * @throws IpamError `store-…`
 */
export async function listNames(store: Store): Promise<Map<string, NameView>> {
  const byNode = async (prefix: string): Promise<Map<string, Entry>> =>
    new Map((await scanAll(store, prefix)).map((entry) => [entry.key.slice(prefix.length), entry]));
  const [owners, alive] = await Promise.all([byNode(MACHINES), byNode(ALIVE)]);
  const nodes = new Set([...owners.keys(), ...alive.keys()]);
  return new Map([...nodes].map((node) => [node, nameViewOf(node, owners.get(node), alive.get(node))]));
}

function nameViewOf(node: string, owner: Entry | undefined, alive: Entry | undefined): NameView {
  const problems: string[] = [];
  const read = <T>(
    entry: Entry | undefined,
    decode: (key: string, value: string) => T,
  ): { readonly entry: Entry; readonly record: T } | undefined => {
    if (!entry) return undefined;
    try {
      return { entry, record: decode(entry.key, entry.value) };
    } catch (error) {
      problems.push(messageOf(error));
      return undefined;
    }
  };
  return { node, owner: read(owner, decodeMachineRecord), alive: read(alive, decodeAliveRecord), problems };
}

/**
 * Lets another machine take over the node's name, if nothing has been written under it since the
 * look and no other agent has become alive.
 * @param machine ID of the machine
 * @returns whether it was written
 * @throws IpamError `store-…`
 */
export async function adoptName(
  store: Store,
  { node, owner, alive }: NameView,
  machine: string,
): Promise<boolean> {
  if (!owner) return false;
  const { entry, record } = owner;
  const value = encodeMachineRecord({ ...record, adoptedBy: machine });
  const guards = [same(entry), asRead(aliveKey(node), alive?.entry)];
  return (await store.commit(guards, [put(entry.key, value)])) !== undefined;
}

/**
 * Deletes the machine record of a node that holds no block any more, so that the name is free. The
 * key that tells of an agent ends with its lease.
 * @returns false if something was written under the name since the look, or is left in its index
 * @throws IpamError `store-…`
 */
export async function freeName(store: Store, node: string, seen: Entry): Promise<boolean> {
  const none = { kind: 'none', prefix: nodePrefix(node) } as const;
  return (await store.commit([same(seen), none], [del(seen.key)])) !== undefined;
}
