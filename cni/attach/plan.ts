import { formatAddress, type Address, type Family } from '../../ipam/model/address.ts';
import { macOf } from '../../ipam/model/mac.ts';
import type { PodInterfaceSpec, VethSpec } from '../platform/platform.ts';
import { delegateOf, type Call } from '../protocol/call.ts';
import { DEFAULT_MTU, IPV6_MIN_MTU, type AddressProbe } from '../protocol/config-schema.ts';
import { CniError } from '../protocol/errors.ts';
import { addressesOf, resolveRoutes, type Grant } from '../protocol/grant.ts';
import {
  attachmentMacOf,
  hostLinkName,
  hostMacOf,
  linkAlias,
  portExternalIds,
} from '../protocol/identity.ts';
import { limitsOf } from '../protocol/limits.ts';
import { requestedMac } from '../protocol/requested.ts';
import type { BridgeInfo, PortSpec } from '../platform/switch.ts';

/** After etcd was set back, another pod may use what etcd calls free. */
const UNPROVEN: AddressProbe = { count: 3, intervalMs: 100 };

/** Everything that ADD will create, computed before ADD creates anything. */
export interface Plan {
  readonly grant: Grant;
  readonly addresses: readonly Address[];
  readonly veth: Omit<VethSpec, 'namespace' | 'aside'>;
  readonly port: PortSpec;
  readonly pod: PodInterfaceSpec;
  /** How to prove that no other host uses the addresses; undefined: not at all. */
  readonly probe: AddressProbe | undefined;
}

/**
 * Returns the configured MTU, else that of the bridge's uplink, else the default.
 * @param families those of the pod's addresses
 * @throws CniError 7 for a configured MTU above that of the uplink, which would drop large packets,
 *   and for one that is too small for IPv6
 */
export function mtuOf(
  { config, settings }: Call,
  { uplinkMtu }: BridgeInfo,
  families: readonly Family[],
): number {
  const { mtu = uplinkMtu ?? DEFAULT_MTU } = config;
  if (mtu < IPV6_MIN_MTU && families.includes(6)) {
    const what =
      config.mtu === undefined
        ? `the MTU of the uplink of bridge '${settings.bridge}'`
        : "network configuration: key 'mtu'";
    throw new CniError(
      'invalid-config',
      `${what} is ${mtu}: expected at least ${IPV6_MIN_MTU} for a pod with an IPv6 address (RFC 8200 section 5)`,
      "Raise the MTU, or leave IPv6 out of 'ipam.families'.",
    );
  }
  if (uplinkMtu === undefined || mtu <= uplinkMtu) return mtu;
  throw new CniError(
    'invalid-config',
    `network configuration: key 'mtu' is ${mtu}: expected at most ${uplinkMtu}, the MTU of the uplink of bridge '${settings.bridge}'`,
    'Raise the MTU of the uplink and of the switch, or leave the key out.',
  );
}

/**
 * Pure: the same call, grant and bridge yield the same plan.
 * @throws CniError 7 for an MTU above that of the uplink, or too small for IPv6, or wrong limits
 */
export function makePlan(call: Call, grant: Grant, bridge: BridgeInfo): Plan {
  const { request, config, settings } = call;
  const addresses = addressesOf(grant);
  const hostName = hostLinkName(request);
  const limits = limitsOf(call);
  const ownMac = delegateOf(call) === undefined ? macOf(addresses) : attachmentMacOf(request);
  const veth = {
    hostName,
    hostMac: hostMacOf(request),
    alias: linkAlias(request),
    podName: request.ifname,
    mac: requestedMac(call) ?? ownMac,
    mtu: mtuOf(
      call,
      bridge,
      addresses.map(({ family }) => family),
    ),
  };
  return {
    grant,
    addresses,
    veth,
    port: {
      bridge: settings.bridge,
      name: hostName,
      tag: config.vlan ?? grant.vlan,
      trunks: config.trunks,
      ofportRequest: config.ofportRequest,
      externalIds: {
        ...config.externalIds,
        ...portExternalIds({ ...request, network: config.name }, request.args, addresses.map(formatAddress)),
      },
      ...(limits && { limited: { limits, mac: veth.mac } }),
      ...(config.mirrors.length > 0 && { mirrors: config.mirrors }),
    },
    pod: {
      ifname: request.ifname,
      addresses: grant.ips.map((ip) => ip.address),
      routes: resolveRoutes(grant),
      mac: veth.mac,
      // Also where nothing is announced usually: the port of a kept address may be another one now.
      announce: config.announcement.count > 0 || grant.allocations.some(({ kept }) => kept),
      // The userspace datapath forwards packets unchanged, so nothing would fill in an offloaded
      // checksum.
      checksumOffload: !bridge.userspace,
    },
    probe: config.addressProbe ?? (grant.allocations.some((each) => each.unproven) ? UNPROVEN : undefined),
  };
}

/**
 * Returns the plan of an interface whose address another IPAM plugin gives later: the pod's end has
 * no address, and the port does not name any. The plan with the address has the same link.
 * @throws CniError 7 as {@link makePlan}
 */
export function planWithoutAddress(call: Call, bridge: BridgeInfo): Plan {
  const plan = makePlan(call, { ips: [], routes: [], vlan: undefined, allocations: [] }, bridge);
  const { ip: _, ...externalIds } = plan.port.externalIds;
  return {
    ...plan,
    port: { ...plan.port, externalIds },
    pod: { ...plan.pod, announce: false },
    probe: undefined,
  };
}
