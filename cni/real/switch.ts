import { inspectBridge } from '../ovsdb/bridges.ts';
import { OvsdbClient } from '../ovsdb/client.ts';
import { addPort, findPorts, removePort } from '../ovsdb/ports.ts';
import type { Switch } from '../parts.ts';

/** Open vSwitch at a remote. @throws OvsdbError `unreachable` */
export async function openSwitch(remote: string, deadlineMs: number): Promise<Switch> {
  const client = await OvsdbClient.connect(remote, { deadlineMs });
  return {
    inspectBridge: async (bridge) => {
      const found = await inspectBridge(client, bridge);
      return found && { userspace: found.datapathType === 'netdev', uplinkMtu: found.uplinkMtu };
    },
    addPort: async (port) => {
      await addPort(client, port, deadlineMs);
    },
    removePort: (containerId, ifname) => removePort(client, containerId, ifname),
    findPorts: (containerId, ifname) => findPorts(client, containerId, ifname),
    close: () => client.close(),
  };
}
