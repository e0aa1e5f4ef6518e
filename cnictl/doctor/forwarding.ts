import { controllerText, findStandstill } from '../../cni/attach/forwarding.ts';
import { switchOn } from '../../cni/host/switch.ts';
import type { OvsdbClient } from '../../cni/ovsdb/client.ts';
import { fail, ok, warn, type Finding } from './finding.ts';
import type { BridgeInfo } from '../../cni/platform/switch.ts';

const CHECK = 'forwarding';

/** Looks whether the bridge forwards anything. Says nothing of a bridge that does not exist. */
export async function lookAtForwarding(client: OvsdbClient, bridge: string): Promise<Finding[]> {
  const ovs = switchOn(client, client.remote);
  const info = await ovs.inspectBridge(bridge);
  if (!info) return [];
  const found = await findStandstill(ovs, bridge, info, client.remote);
  if (found) return [fail(CHECK, found.why, found.remedy)];
  const flows = await ovs.readFlows?.(bridge);
  return [judgeForwarding(bridge, info, typeof flows === 'object')];
}

/**
 * Judges a bridge that was not found to stand still.
 * @param isKnown whether its flows could be read
 */
export function judgeForwarding(bridge: string, info: BridgeInfo, isKnown: boolean): Finding {
  const { controllers = [], secure } = info;
  if (controllers.length > 0)
    return warn(
      CHECK,
      `what ${bridge} forwards is up to somebody else: ${controllers.map(controllerText).join(', ')}`,
      `If nobody needs it: ovs-vsctl del-controller ${bridge}`,
    );
  if (secure && !isKnown)
    return warn(
      CHECK,
      `fail_mode of ${bridge} is secure, and its flows cannot be read from here: without flows it forwards nothing`,
      `ovs-ofctl dump-flows ${bridge}`,
    );
  return ok(CHECK, secure ? `${bridge} forwards by its flows (fail_mode secure)` : `${bridge} forwards`);
}
