import { BLOCKS, NODES, RANGES } from '../../ipam/records/keys.ts';
import { isDrainKey } from '../../ipam/records/node-record.ts';
import type { BadRecord } from './acts.ts';
import type { World } from './world.ts';

const NEWER = '{"v":99,"cidr":"10.77.0.0/24"}';
const NEWER_KEY = `${RANGES}later`;

/** Damages a record for a while. Nobody may write it meanwhile, so its old value is right again. */
export function damage(world: World, which: BadRecord, nth: number, forMs: number): void {
  const { etcd, damaged, sim } = world;
  if (which === 'range') {
    put(world, NEWER_KEY, NEWER);
    return;
  }
  const prefix = which === 'block' ? BLOCKS : NODES;
  const entries = etcd.keys.below(prefix).filter(({ key }) => !isDrainKey(key) && !damaged.has(key));
  const entry = entries[nth % Math.max(1, entries.length)];
  if (!entry) return;
  damaged.set(entry.key, entry.value);
  const bad = entry.value.slice(0, -7);
  world.damages.push({ key: entry.key, bad, value: entry.value });
  put(world, entry.key, bad);
  sim.scheduler.after(forMs, () => repair(world, entry.key));
}

/** Gives a record its value back, if etcd still has the damaged one. */
export function repair(world: World, key: string): void {
  const value = world.damaged.get(key);
  if (value === undefined) return;
  world.damaged.delete(key);
  if (world.etcd.keys.has(key)) put(world, key, value);
}

/** Takes away the record of a later release, beside which no range can be added. */
export function removeNewer({ etcd }: World): void {
  if (etcd.keys.has(NEWER_KEY)) etcd.txn([], [{ kind: 'delete', key: NEWER_KEY }]);
}

function put({ etcd, sim }: World, key: string, value: string): void {
  sim.trace.tell('fault', () => ({ text: `${key} is now ${value.slice(0, 60)}`, always: true }));
  etcd.txn([], [{ kind: 'put', key, value }]);
}
