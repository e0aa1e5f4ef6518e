import type { HostNetwork } from '../../cni/netlink/host-network.ts';
import type { OvsdbClient } from '../../cni/ovsdb/client.ts';
import { describeLoad, isEmpty, loadOf } from '../uplink/load.ts';
import { warn, type Check, type Finding } from './finding.ts';
import { readSwitch } from './ovs.ts';

/** Finds uplinks that carry addresses or routes of this host, as after a reboot. */
export function uplinkAddressesCheck(
  open: () => Promise<OvsdbClient>,
  bridge: string,
  readNetwork: () => Promise<HostNetwork>,
): Check {
  return {
    name: 'uplink addresses',
    look: async () => {
      const client = await open();
      try {
        const { bridge: found } = await readSwitch(client, bridge);
        if (!found || found.uplinks.length === 0) return [];
        const names = found.uplinks.map(({ name }) => name);
        return judgeUplinkAddresses(bridge, found.datapathType, names, await readNetwork());
      } finally {
        client.close();
      }
    },
  };
}

export function judgeUplinkAddresses(
  bridge: string,
  datapathType: string,
  uplinks: readonly string[],
  network: HostNetwork,
): Finding[] {
  const effect =
    datapathType === 'netdev'
      ? "on the userspace datapath this node's pods do not reach them"
      : 'on the kernel datapath nobody reaches them';
  return uplinks.flatMap((name) => {
    const load = loadOf(network, name);
    if (!load || isEmpty(load)) return [];
    return [
      warn(
        'uplink addresses',
        `${name} is in ${bridge} and carries ${describeLoad(load)}: ${effect}`,
        `cnictl node init --bridge ${bridge} --uplink ${name} --take-addresses, and give them to ${bridge} in the host's network configuration.`,
      ),
    ];
  });
}
