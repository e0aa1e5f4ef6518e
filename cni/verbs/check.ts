import { canonicalInSubnet } from '../../ipam/model/address.ts';
import { checkDelegated } from '../address/delegate.ts';
import { lookupOwn } from '../address/ipam.ts';
import { podDifferences, portDifferences } from '../attach/differences.ts';
import { findStandstill } from '../attach/forwarding.ts';
import { withSwitch } from '../platform/connections.ts';
import type { Platform } from '../platform/platform.ts';
import { delegateOf, type Call } from '../protocol/call.ts';
import { CniError } from '../protocol/errors.ts';
import { hostLinkName, linkAlias, portExternalIds } from '../protocol/identity.ts';
import type { CniResult } from '../protocol/result.ts';

/**
 * CHECK (CNI SPEC section 4): compares with the `prevResult` the link, its addresses and routes,
 * the port with its VLAN and owner, and the allocation in etcd. The `prevResult` includes the
 * changes of later plugins of the chain. The bridge must forward.
 * @throws CniError 105 naming the expected and the found value of each difference
 */
export async function check(call: Call, platform: Platform): Promise<void> {
  const previous = prevResultOf(call);
  const problems = [
    ...(await checkAddresses(call, platform, previous)),
    ...(await checkHostLink(call, platform, previous)),
    ...(await checkPod(call, platform, previous)),
  ];
  throwProblems(call, problems);
}

export function prevResultOf(call: Call): CniResult {
  const { prevResult } = call.config;
  if (prevResult) return prevResult;
  throw new CniError('invalid-config', "CHECK needs key 'prevResult': the result of the ADD");
}

export function throwProblems(call: Call, problems: readonly string[]): void {
  if (problems.length === 0) return;
  const { containerId, ifname } = call.request;
  throw new CniError('check-failed', `attachment ${containerId}/${ifname}: ${problems.join('; ')}`);
}

/** Returns what the result says about the call's interface in the pod. */
function ourPart(
  call: Call,
  previous: CniResult,
): { mac: string | undefined; mtu: number | undefined; ips: string[] } {
  const { ifname } = call.request;
  const index = (previous.interfaces ?? []).findIndex(
    (each) => each.name === ifname && Boolean(each.sandbox),
  );
  const link = previous.interfaces?.[index];
  const ips = (previous.ips ?? []).filter((ip) => ip.interface === undefined || ip.interface === index);
  return { mac: link?.mac, mtu: link?.mtu, ips: ips.map((ip) => ip.address) };
}

async function checkPod(call: Call, platform: Platform, previous: CniResult): Promise<string[]> {
  const { ifname, netns } = call.request;
  const kernel = await platform.openKernel();
  const namespace = kernel.openNamespace(netns);
  try {
    const { mac, mtu, ips } = ourPart(call, previous);
    const found = await kernel.inspect(namespace, ifname);
    return podDifferences(found, { ifname, addresses: ips, routes: previous.routes ?? [] }, { mac, mtu });
  } finally {
    namespace.close();
  }
}

async function checkHostLink(call: Call, platform: Platform, previous: CniResult): Promise<string[]> {
  const name = hostLinkName(call.request);
  const link = await (await platform.openKernel()).hostLink(name);
  if (!link) return [`link ${name}: expected on the host, found none`];
  const alias = linkAlias(call.request);
  if (link.alias !== alias) return [`alias of link ${name}: expected '${alias}', found '${link.alias}'`];
  const told = previous.interfaces?.find((each) => each.name === name && !each.sandbox);
  const problems = link.up ? [] : [`link ${name}: expected up, found down`];
  if (!link.taken)
    problems.push(`link ${name}: expected in Open vSwitch's datapath, found that nobody has taken it`);
  if (told?.mac !== undefined && told.mac.toLowerCase() !== link.mac)
    problems.push(`MAC of link ${name}: expected ${told.mac}, found ${link.mac}`);
  // Results before 1.1.0 have no MTU, so use that of the ADD's record. No later plugin of the chain
  // changes the host's end.
  const mtu = told?.mtu ?? platform.openState(call.settings.stateDir).readAttachment(call.request)?.mtu;
  if (mtu !== undefined && mtu !== link.mtu)
    problems.push(`MTU of link ${name}: expected ${mtu}, found ${link.mtu}`);
  return problems;
}

/** Checks the allocation, and the port, whose VLAN follows from the range of the allocation. */
async function checkAddresses(call: Call, platform: Platform, previous: CniResult): Promise<string[]> {
  const { containerId, ifname } = call.request;
  const { ips } = ourPart(call, previous);
  const { problems, vlan } = await checkGrant(call, platform, ips);
  const { bridge, ovsdb } = call.settings;
  const { ports, found } = await withSwitch(platform, call.settings, async (ovs) => {
    const ports = await ovs.findPorts(containerId, ifname);
    const info = await ovs.inspectBridge(bridge);
    return { ports, found: info && (await findStandstill(ovs, bridge, info, ovsdb)) };
  });
  // Compare no addresses: later plugins of the chain may have added some.
  const owner = portExternalIds({ ...call.request, network: call.config.name }, call.request.args, undefined);
  return [
    ...problems,
    ...(found ? [found.why] : []),
    ...portDifferences(ports, {
      bridge,
      name: hostLinkName(call.request),
      // Without the allocation the expected VLAN is unknown. `problems` already reports that.
      tag: call.config.vlan ?? (problems.length > 0 ? ports[0]?.tag : vlan),
      trunks: call.config.trunks,
      externalIds: { ...call.config.externalIds, ...owner },
      mirrors: call.config.mirrors,
    }),
  ];
}

async function checkGrant(
  call: Call,
  platform: Platform,
  ips: readonly string[],
): Promise<{ problems: string[]; vlan: number | undefined }> {
  const type = delegateOf(call);
  if (type !== undefined) {
    await checkDelegated(call, platform, type);
    return { problems: [], vlan: undefined };
  }
  const grant = await lookupOwn(call, platform);
  return {
    problems: allocationDifferences(ips, grant?.ips.map((ip) => ip.address) ?? []),
    vlan: grant?.vlan,
  };
}

/**
 * Returns a text for each expected address that is not allocated.
 * @param held the attachment's addresses in etcd, in CIDR notation
 */
export function allocationDifferences(ips: readonly string[], held: readonly string[]): string[] {
  return missingFrom(held, ips).map(
    (ip) => `allocation in etcd: expected ${ip}, found ${held.join(', ') || 'none'}`,
  );
}

/** Returns those of the addresses, in CIDR notation, that the list lacks in any spelling. */
export function missingFrom(list: readonly string[], ips: readonly string[]): string[] {
  const known = new Set(list.map(canonicalInSubnet));
  return ips.filter((ip) => !known.has(canonicalInSubnet(ip)));
}
