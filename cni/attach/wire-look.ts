import { randomUUID } from 'node:crypto';
import { withSwitch } from '../platform/connections.ts';
import type { Platform } from '../platform/platform.ts';
import { IPV6_MIN_MTU } from '../protocol/config-schema.ts';
import { hostLinkName, hostMacOf, linkAlias, portExternalIds } from '../protocol/identity.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import { deleteLink, detachPort } from './interface-teardown.ts';
import type { Switch } from '../platform/switch.ts';

/** Nobody waits for a pod's start here, so this asks longer than an ADD does. */
const PROBE = { count: 3, intervalMs: 200, usersOnly: true };
const INTERFACE = 'look0';

/** A bridge that leads to a VLAN. */
export interface WireSide extends SwitchAddress {
  readonly bridge: string;
  readonly vlan: number | undefined;
}

/**
 * Finds the bridge of this host that leads to the VLAN: one with a port of it, else the default. A
 * bridge without an uplink that has a link leads nowhere.
 * @returns undefined if there is none
 * @throws OvsdbError
 */
export async function wireSideOf(
  platform: Platform,
  at: SwitchAddress,
  vlan: number | undefined,
  defaultBridge: string,
): Promise<WireSide | undefined> {
  return await withSwitch(platform, at, async (ovs) => {
    const ports = await ovs.findPorts();
    const used = ports.flatMap(({ bridge, tag }) => (tag === vlan && bridge !== undefined ? [bridge] : []));
    for (const bridge of new Set([...used, defaultBridge]))
      if (await hasUplink(ovs, bridge)) return { ...at, bridge, vlan };
    return undefined;
  });
}

async function hasUplink(ovs: Switch, bridge: string): Promise<boolean> {
  const found = await ovs.inspectBridge(bridge);
  return found?.uplinkMtu !== undefined && found.uplinkDown === undefined;
}

/**
 * Asks from a bridge of this host whether any host answers for the addresses (ARP, neighbour
 * discovery), over a port made for that. If the process dies meanwhile, the kernel removes the
 * port's device with its namespace, and the node's reconcile removes the port.
 * @param addresses as text, of the VLAN's ranges
 * @returns the MAC of the host that answers, by address
 * @throws OvsdbError, NetlinkError, NamespaceError
 */
export async function lookOnWire(
  platform: Platform,
  side: WireSide,
  addresses: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const attachment = { containerId: `wire-look-${randomUUID()}`, ifname: INTERFACE };
  const kernel = await platform.openKernel();
  const namespace = kernel.newNamespace();
  const name = hostLinkName(attachment);
  try {
    const end = await kernel.createVeth({
      hostName: name,
      hostMac: hostMacOf(attachment),
      alias: linkAlias(attachment),
      podName: INTERFACE,
      namespace,
      mac: '0a:5a:00:00:00:01',
      // The probes are short.
      mtu: IPV6_MIN_MTU,
      aside: false,
    });
    await end.mark();
    await withSwitch(platform, side, (ovs) =>
      ovs.addPort({
        bridge: side.bridge,
        name,
        tag: side.vlan,
        trunks: [],
        ofportRequest: undefined,
        externalIds: portExternalIds({ ...attachment, network: 'wire-look' }, {}, undefined),
      }),
    );
    return await probeAll((rest) => kernel.probe(namespace, INTERFACE, rest, PROBE), addresses);
  } finally {
    await Promise.allSettled([detachPort(platform, side, attachment)]);
    await Promise.allSettled([deleteLink(platform, attachment)]);
    namespace.close();
  }
}

type Probe = (
  addresses: readonly string[],
) => Promise<{ readonly address: string; readonly mac: string } | undefined>;

/** A probe ends at the first answer, so it is repeated for the other addresses. */
async function probeAll(probe: Probe, addresses: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const answers = new Map<string, string>();
  let rest = addresses;
  while (rest.length > 0) {
    const conflict = await probe(rest);
    if (!conflict) break;
    answers.set(conflict.address, conflict.mac);
    rest = rest.filter((address) => address !== conflict.address);
  }
  return answers;
}
