import { refusalOf } from '../../dataplane/refuse.ts';
import { REFUSE } from '../../dataplane/tables.ts';
import { PORT } from '../../openflow/actions.ts';
import { OpenFlowConnection } from '../../openflow/connection.ts';
import type { PacketIn } from '../../openflow/packets.ts';

/**
 * Longest time that a bridge may make no progress with what it is asked, in milliseconds. vswitchd
 * takes 0.2 s for 5,000 Services.
 */
const DEADLINE_MS = 5_000;

/**
 * Connects to a bridge, and answers the packets that its flows send to the agent.
 * @param lost called once when the connection ends
 * @throws OpenFlowError
 */
export async function connectBridge(path: string, lost: () => void): Promise<OpenFlowConnection> {
  const connection: OpenFlowConnection = await OpenFlowConnection.connect(path, {
    deadlineMs: DEADLINE_MS,
    onPacket: (packet) => answer(connection, packet),
    onLost: lost,
  });
  return connection;
}

function answer(connection: OpenFlowConnection, { inPort, data, userdata }: PacketIn): void {
  if (!userdata?.equals(REFUSE)) return;
  const refusal = refusalOf(data);
  if (!refusal) return;
  connection.packetOut({
    inPort: PORT.controller,
    actions: [{ kind: 'output', port: inPort }],
    data: refusal,
  });
}
