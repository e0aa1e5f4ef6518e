import { formatAddress, parseAddress } from '../../ipam/model/address.ts';
import { slotIndex, usedSlots } from '../../ipam/model/block.ts';
import { hostLinkName } from '../../cni/protocol/identity.ts';
import type { Violation } from './invariants.ts';
import type { World } from './world.ts';

/** Returns what is left in etcd and on the machines although every pod has ended. */
export function findLeftOvers({ etcd, hosts, reader }: World): Violation | undefined {
  // After a clock was set back, what an earlier boot has left may look younger than this boot: the
  // node tells an operator and keeps it (`other-boot`).
  if ([...hosts.values()].some(({ machine }) => machine.clockOffsetMs < 0)) return undefined;
  const given = reader
    .all(etcd.keys)
    .flatMap((block) => usedSlots(block))
    // What a clone assigned that was taken away looks to the node like another boot: an operator's
    // check condemns it.
    .filter(({ slot: { owner } }) =>
      [...hosts.keys()].some((name) => owner.bootId.startsWith(`${name}-boot`)),
    )
    .map(({ address, slot }) => ({ address: formatAddress(address), containerId: slot.owner.containerId }));
  const onMachines = [...hosts.values()].flatMap(({ machine }) => [
    ...machine.disk.filesOfPods.map((name) => `file ${name} on ${machine.name}`),
    ...machine.ovs.ports.map(
      ({ externalIds }) => `port of ${externalIds['container-id'] ?? '?'} on ${machine.name}`,
    ),
    ...[...machine.kernel.links.values()].map(
      ({ alias, name }) => `link ${name} (${alias}) on ${machine.name}`,
    ),
  ]);
  const all = [
    ...given.map(({ address, containerId }) => `${address} of ${containerId} in etcd`),
    ...onMachines,
  ];
  if (all.length === 0) return undefined;
  const containers = all.flatMap((text) => /\bp\d+\.\d+/.exec(text)?.[0] ?? []);
  return {
    kind: 'left-over',
    text: `left after every pod has ended: ${all.join(', ')}`,
    about: [...given.map(({ address }) => address), ...containers],
  };
}

/** What an ADD says when every range of the pod's family is full, which is no fault. */
const FULL = /address left for node|no VLAN has an active range/;

/** Returns which pods do not run although all faults are over. */
export function findWaiting({ hosts }: World): Violation | undefined {
  const waiting = [...hosts.values()].flatMap(({ machine, kubelet }) =>
    kubelet.waiting
      // An ADD that looks for room everywhere asks etcd so often that one of two may be too slow.
      .filter(({ failures }) => !failures.some((each) => FULL.test(each)))
      .map(({ pod, failures }) => ({
        pod,
        text: `${pod} on ${machine.name}: ${failures.at(-1) ?? 'no ADD'}`,
      })),
  );
  if (waiting.length === 0) return undefined;
  const text = `not running although all faults are over: ${waiting.map((each) => each.text).join('; ')}`;
  return { kind: 'stuck', text, about: waiting.map(({ pod }) => pod) };
}

/**
 * Returns a running pod without a port. Agents make ports again, of pods whose address is theirs in
 * etcd.
 */
export function findWithoutPort({ etcd, hosts, reader, living }: World): Violation | undefined {
  const given = new Set(
    reader.all(etcd.keys).flatMap((block) => usedSlots(block).map(({ slot }) => slot.owner.containerId)),
  );
  for (const { agent, kubelet, machine } of hosts.values()) {
    if (!agent?.alive) continue;
    for (const { containerId } of kubelet.running) {
      if (!given.has(containerId) || !living.carriesAny(containerId)) continue;
      const link = machine.kernel.links.get(hostLinkName({ containerId, ifname: 'eth0' }));
      if (link?.taken) continue;
      const text = `${containerId} on ${machine.name} has no port although all faults are over`;
      return { kind: 'no-port', text, about: [containerId] };
    }
  }
  return undefined;
}

/** Returns the addresses of running pods that etcd neither holds for them nor has set aside. */
export function findLost(world: World): Violation | undefined {
  const { etcd, hosts, reader, living } = world;
  const blocks = reader.all(etcd.keys);
  const isKnown = (ip: string, containerId: string): boolean => {
    const address = parseAddress(ip);
    return blocks.some((block) => {
      const slot = block.slots[slotIndex(block, address)];
      if (slot?.state === 'used') return slot.owner.containerId === containerId;
      return slot?.state === 'released' && slot.conflictMac !== undefined;
    });
  };
  for (const { kubelet } of hosts.values()) {
    for (const { containerId, result } of kubelet.running) {
      // What the API server forgot is condemned, and loses link and address, though the runtime
      // keeps it.
      if (world.isForgotten(containerId) && !living.carriesAny(containerId)) continue;
      const ips = (result?.ips ?? []).map(({ address }) => address.split('/')[0] ?? '');
      const ip = ips.find((each) => !isKnown(each, containerId));
      if (ip === undefined) continue;
      const text = `${ip} is used by ${containerId}, and etcd does not know it although all faults are over`;
      return { kind: 'lost', text, about: [ip, containerId] };
    }
  }
  return undefined;
}
