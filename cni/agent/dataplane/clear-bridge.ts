import { isOurGroup, isOurMeter, OUR_COOKIE } from '../../dataplane/tables.ts';
import type { Modification } from '../../openflow/program.ts';
import type { BridgeConnection } from './bridge-connection.ts';

/**
 * Takes away all that cellnet programmed on a bridge. Flows of others stay, and the bridge forwards
 * by its own flow `NORMAL`.
 * @returns how many flows there were
 * @throws OpenFlowError
 */
export async function clearBridge(connection: BridgeConnection): Promise<number> {
  const flows = await connection.countFlows(OUR_COOKIE);
  const groups = (await connection.listGroups()).filter(({ id }) => isOurGroup(id));
  if (flows > 0 || groups.length > 0) {
    await connection.bundle([
      { kind: 'delete-flows', ...OUR_COOKIE },
      ...groups.map(({ id }): Modification => ({ kind: 'delete-group', id })),
    ]);
  }
  const meters = (await connection.listMeters()).filter(isOurMeter);
  await connection.send(meters.map((id) => ({ kind: 'delete-meter', id })));
  return flows;
}
