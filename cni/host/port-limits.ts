import { existsSync } from 'node:fs';
import { messageOf } from '../../ipam/model/errors.ts';
import { fixedFlows } from '../dataplane/fixed-flows.ts';
import { localPodOf } from '../dataplane/local-pod.ts';
import { podFlows, podMeters } from '../dataplane/pod-flows.ts';
import { cookieOf, rateMeters } from '../dataplane/tables.ts';
import { OpenFlowConnection } from '../openflow/connection.ts';
import { managementSocket } from '../openflow/management.ts';
import type { Modification } from '../openflow/program.ts';
import type { PortInfo, PortSpec } from '../platform/switch.ts';
import { CniError } from '../protocol/errors.ts';

/**
 * Longest time that the bridge may make no progress with what a plugin without agent asks of it, in
 * milliseconds.
 */
const DEADLINE_MS = 2_000;
const WHOLE_COOKIE = 0xffff_ffff_ffff_ffffn;

/**
 * Makes the bridge hold a new pod to its limits, for a plugin that runs without agent. The agent
 * takes over what it finds.
 * @throws CniError 11
 */
export async function limitPort(ovsdb: string, port: PortSpec, ofport: number): Promise<void> {
  const { bridge, limited } = port;
  const pod = limited && localPodOf({ ...port, ofport }, limited);
  if (!limited || !pod) return;
  try {
    await withBridge(managementSocket(ovsdb, bridge), async (connection) => {
      const there = new Set(await connection.listMeters());
      await connection.send(
        podMeters(pod).map((meter) => ({ kind: there.has(meter.id) ? 'change-meter' : 'add-meter', meter })),
      );
      const flows = [...fixedFlows(false), ...podFlows(pod, false)];
      await connection.bundle([
        withoutPod(ofport),
        ...flows.map((flow): Modification => ({ kind: 'put-flow', flow })),
      ]);
    });
  } catch (cause) {
    throw new CniError(
      'try-again-later',
      `bridge '${bridge}' does not hold the pod to its limits: ${messageOf(cause)}`,
      '',
      { cause },
    );
  }
}

/**
 * Takes away what the bridge does for ports that are about to be removed: their numbers may be
 * other pods' next. A bridge that does not answer keeps it, and the agent clears it.
 */
export async function releasePorts(ovsdb: string, ports: readonly PortInfo[]): Promise<void> {
  for (const { bridge, ofport } of ports) {
    if (bridge === undefined || ofport === undefined || ofport <= 0) continue;
    const socket = managementSocket(ovsdb, bridge);
    if (!existsSync(socket)) continue;
    await withBridge(socket, (connection) => release(connection, ofport)).catch(() => undefined);
  }
}

async function release(connection: OpenFlowConnection, ofport: number): Promise<void> {
  await connection.bundle([withoutPod(ofport)]);
  const meters = Object.values(rateMeters(ofport));
  const there = (await connection.listMeters()).filter((id) => meters.includes(id));
  await connection.send(there.map((id) => ({ kind: 'delete-meter', id })));
}

const withoutPod = (ofport: number): Modification => ({
  kind: 'delete-flows',
  cookie: cookieOf('pod', ofport),
  mask: WHOLE_COOKIE,
});

async function withBridge(
  socket: string,
  work: (connection: OpenFlowConnection) => Promise<void>,
): Promise<void> {
  const connection = await OpenFlowConnection.connect(socket, {
    deadlineMs: DEADLINE_MS,
    onLost: () => undefined,
  });
  try {
    await work(connection);
  } finally {
    connection.close();
  }
}
