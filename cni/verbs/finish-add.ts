/** The end of an ADD, wherever its addresses come from. */
import { formatAddress, parseAddress } from '../../ipam/model/address.ts';
import { setAside } from '../address/ipam.ts';
import type { CompletedInterface } from '../attach/interface-setup.ts';
import type { Plan } from '../attach/plan.ts';
import type { Kernel, Namespace, Platform } from '../platform/platform.ts';
import { delegateOf, type Call } from '../protocol/call.ts';
import { CniError } from '../protocol/errors.ts';
import { extendResult, type CniResult } from '../protocol/result.ts';

/**
 * Probes the network for other hosts that use the addresses, if the configuration asks for it, or
 * if etcd was set back a short while ago. Sets such an address aside when it is from our IPAM, so
 * that the next ADD gets another.
 * @throws CniError 11 naming the address and the MAC that uses it
 */
export async function probe(
  call: Call,
  platform: Platform,
  kernel: Kernel,
  namespace: Namespace,
  plan: Plan,
): Promise<void> {
  if (!plan.probe) return;
  const addresses = plan.addresses.map(formatAddress);
  const conflict = await kernel.probe(namespace, call.request.ifname, addresses, plan.probe);
  if (!conflict) return;
  const { address, mac } = conflict;
  const isOurs = delegateOf(call) === undefined;
  if (isOurs) await setAside(call, platform, parseAddress(address), mac);
  const next = isOurs ? 'It is set aside for an hour, and the next ADD gets another. ' : '';
  throw new CniError(
    'try-again-later',
    `address ${address} is in use already: ${mac} answered for it`,
    `${next}Look for the MAC on the switch: another host uses an address of your range.`,
  );
}

/**
 * Announces the addresses after the reply.
 * @param sent number of announcements already sent
 */
export function announceRest(call: Call, platform: Platform, plan: Plan, sent: number): void {
  const { count, intervalMs } = call.config.announcement;
  if (count <= sent) return;
  platform.announceLater({
    count: count - sent,
    intervalMs,
    netns: call.request.netns,
    ifname: call.request.ifname,
    mac: plan.veth.mac,
    addresses: plan.addresses.map(formatAddress),
  });
}

/** Returns the result, without the routes that another interface of the pod already has. */
export function resultOf(call: Call, plan: Plan, { hostMac, routes }: CompletedInterface): CniResult {
  const { grant, veth } = plan;
  const dns = grant.dns ?? call.config.dns;
  return extendResult(call.config.prevResult, {
    interfaces: [
      { name: veth.hostName, mac: hostMac, mtu: veth.mtu, sandbox: '' },
      { name: call.request.ifname, mac: veth.mac, mtu: veth.mtu, sandbox: call.request.netns },
    ],
    ips: grant.ips.map((ip) => ({ ...ip, interface: 1 })),
    routes,
    ...(dns !== undefined && { dns }),
  });
}
