import { ensureBridge, inspectBridge } from '../ovsdb/bridges.ts';
import { OvsdbClient } from '../ovsdb/client.ts';
import { isServed } from '../ovsdb/liveness.ts';
import { addPort, findPorts, removePort } from '../ovsdb/ports.ts';
import { tlsFiles } from '../ovsdb/remote.ts';
import type { Switch } from '../platform/platform.ts';
import type { SwitchAddress } from '../protocol/settings.ts';

/** vswitchd takes 50 ms for 250 ports. A vswitchd that takes longer than this is down or stuck. */
export const SERVED_WITHIN_MS = 2_000;

/**
 * Connects to Open vSwitch at a remote.
 * @throws OvsdbError `unreachable`, `protocol` for an `ssl:` remote without its files
 */
export async function openSwitch({ ovsdb, ovsdbTls }: SwitchAddress, deadlineMs: number): Promise<Switch> {
  const tls = tlsFiles(ovsdbTls);
  const client = await OvsdbClient.connect(ovsdb, { deadlineMs, ...(tls && { tls }) });
  return {
    inspectBridge: async (bridge) => {
      const found = await inspectBridge(client, bridge);
      return found && { userspace: found.datapathType === 'netdev', uplinkMtu: found.uplinkMtu };
    },
    isServed: () => isServed(client, SERVED_WITHIN_MS),
    createBridge: async (bridge, datapathType) => {
      await ensureBridge(client, { bridge, failMode: 'standalone', datapathType, deadlineMs });
    },
    addPort: async (port) => {
      await addPort(client, port, deadlineMs);
    },
    removePort: (containerId, ifname) => removePort(client, containerId, ifname),
    findPorts: (containerId, ifname) => findPorts(client, containerId, ifname),
    close: () => client.close(),
  };
}
