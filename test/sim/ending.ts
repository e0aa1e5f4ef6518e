import { NODES, RANGES, rangeKey } from '../../ipam/records/keys.ts';
import { isDrainKey } from '../../ipam/records/node-record.ts';
import { decodeRange } from '../../ipam/records/range-record.ts';
import { nameOfRuleKey, RULES, RULES_CHANGED } from '../../ipam/records/rule-record.ts';
import { readRecord } from '../../ipam/records/unreadable.ts';
import { removeNewer, repair } from './bad-records.ts';
import { UNDO_EDITS } from './edits.ts';
import type { Machine } from './machine.ts';
import { rangesOf } from './setup.ts';
import type { Host, World } from './world.ts';

/**
 * Ends every fault: machines have power, agents run, servers answer. The operator takes clones away
 * and gives their name to the machine that had it first, and ends every draining.
 */
export function endFaults(world: World): void {
  const { sim, network, kube, hosts, etcd } = world;
  sim.trace.tell('fault', () => ({ text: 'all faults end', always: true }));
  network.conditions.clear();
  Object.assign(kube, { away: false, staleMs: 0 });
  const all = [...hosts.values()];
  for (const host of all) {
    if (host.original) takeAway(world, host, firstOf(host.original, all));
    else host.machine.ovs.serve();
  }
  for (const host of hosts.values()) {
    world.powerOn(host);
    world.startAgent(host);
  }
  for (const key of world.damaged.keys()) repair(world, key);
  for (const { kubelet } of hosts.values()) kubelet.tryAgain();
  // Where etcd lost a range, the operator finds `range add` refused, and is told why.
  if (rangesOf(world.setup).some(({ name }) => !etcd.keys.has(rangeKey(name)))) removeNewer(world);
  void world.addRanges();
  // Without them no pod waits for a full range.
  for (const { key } of etcd.keys.below(RULES))
    if (key !== RULES_CHANGED) void world.cnictl(`rule remove ${nameOfRuleKey(key)} --ignore-not-found`);
  for (const { key, value } of etcd.keys.below(RANGES))
    if (isDraining(key, value)) void world.cnictl(`range undrain ${key.slice(RANGES.length)}`);
  if (world.setup.edits) for (const argv of UNDO_EDITS) void world.cnictl(argv);
  for (const { key } of etcd.keys.below(NODES))
    if (isDrainKey(key)) void world.cnictl(`node undrain ${key.split('/')[1] ?? ''}`);
}

/** A record of a later release says nothing to this one. */
function isDraining(key: string, value: string): boolean {
  const read = readRecord({ key, value }, decodeRange);
  return 'value' in read && read.value.state === 'draining';
}

/** A clone may have been cloned from a clone: the name is the first one's. */
function firstOf(machine: Machine, all: readonly Host[]): Machine {
  const before = all.find((host) => host.machine === machine)?.original;
  return before ? firstOf(before, all) : machine;
}

function takeAway(world: World, { machine, kubelet }: Host, original: Machine): void {
  machine.losePower();
  kubelet.stopAll();
  world.hosts.delete(machine.name);
  const adoption = world.cnictl(`node adopt ${original.node} --machine ${original.identity.id} --yes`);
  // It waits until the clone has been silent for a while. By then the kubelet may have given up.
  void adoption.then(() => world.hosts.get(original.name)?.kubelet.tryAgain());
}

/** Ends every pod as it should. */
export function endPods({ sim, hosts }: World): void {
  sim.trace.tell('runtime', () => ({ text: 'every pod ends', always: true }));
  for (const { kubelet } of hosts.values()) kubelet.stopAll();
}
