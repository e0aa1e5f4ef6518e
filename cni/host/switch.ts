import { OUR_COOKIE } from '../dataplane/tables.ts';
import { readFlows } from '../openflow/flows.ts';
import { ensureBridge, inspectBridge, type BridgeDetails } from '../ovsdb/bridges.ts';
import { OvsdbClient } from '../ovsdb/client.ts';
import { isServed } from '../ovsdb/liveness.ts';
import { addPort, findPorts, removePort, setExternalIds } from '../ovsdb/ports.ts';
import { tlsFiles } from '../ovsdb/remote.ts';
import type { OvsdbSession } from '../ovsdb/session.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import type { BridgeInfo, Switch } from '../platform/switch.ts';
import { limitPort, releasePorts } from './port-limits.ts';

/** vswitchd takes 50 ms for 250 ports. A vswitchd that takes longer than this is down or stuck. */
const SERVED_WITHIN_MS = 2_000;

/**
 * Connects to Open vSwitch at a remote.
 * @param expiresAt when all its work must be over, in milliseconds of the monotonic clock
 * @throws OvsdbError `unreachable`, `timeout`, `protocol` for an `ssl:` remote without its files
 */
export async function openSwitch({ ovsdb, ovsdbTls }: SwitchAddress, expiresAt: number): Promise<Switch> {
  const tls = tlsFiles(ovsdbTls);
  const deadlineMs = Math.max(1, expiresAt - performance.now());
  const client = await OvsdbClient.connect(ovsdb, { deadlineMs, ...(tls && { tls }) });
  return { ...switchOn(client.until(expiresAt), ovsdb), close: () => client.close() };
}

export const bridgeInfoOf = (details: BridgeDetails): BridgeInfo => ({
  userspace: details.datapathType === 'netdev',
  uplinkMtu: details.uplinkMtu,
  ...(details.uplinkDown && { uplinkDown: true }),
  ...(details.withoutDatapath && { withoutDatapath: true }),
  ...(details.failMode === 'secure' && { secure: true }),
  ...(details.controllers && { controllers: details.controllers }),
});

/**
 * Returns the operations of a Switch on a session, all of which end by the session's deadline.
 * @param ovsdb the session's remote
 */
export function switchOn(session: OvsdbSession, ovsdb: string): Omit<Switch, 'close'> {
  return {
    inspectBridge: async (bridge) => {
      const found = await inspectBridge(session, bridge);
      return found && bridgeInfoOf(found);
    },
    isServed: () => isServed(session, Math.min(SERVED_WITHIN_MS, session.remainingMs)),
    readFlows: (bridge) => readFlows(ovsdb, bridge, OUR_COOKIE),
    createBridge: async (bridge, datapathType) => {
      const deadlineMs = session.remainingMs;
      await ensureBridge(session, { bridge, failMode: 'standalone', datapathType, deadlineMs });
    },
    addPort: async (port) => {
      await limitPort(ovsdb, port, await addPort(session, port, session.remainingMs));
    },
    markPort: async (port) => {
      await session.transact(setExternalIds(port));
      if (!port.limited) return;
      const { 'container-id': containerId, ifname } = port.externalIds;
      const found = (await findPorts(session, containerId, ifname)).find(({ name }) => name === port.name);
      if (found?.ofport !== undefined && found.ofport > 0) await limitPort(ovsdb, port, found.ofport);
    },
    removePort: async (containerId, ifname) => {
      await releasePorts(ovsdb, await findPorts(session, containerId, ifname));
      return await removePort(session, containerId, ifname);
    },
    findPorts: (containerId, ifname) => findPorts(session, containerId, ifname),
  };
}
