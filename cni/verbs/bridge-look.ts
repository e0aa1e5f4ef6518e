import { findStandstill } from '../attach/forwarding.ts';
import { withSwitch } from '../platform/connections.ts';
import type { Platform } from '../platform/platform.ts';
import type { BridgeInfo, Switch } from '../platform/switch.ts';
import type { Call } from '../protocol/call.ts';
import { bridgeMissing, CniError } from '../protocol/errors.ts';

/** What an ADD learns of its bridge in one use of Open vSwitch. */
export interface BridgeLook {
  /** Rejects with CniError 100 when the bridge is missing and ADD may not create it. */
  readonly bridge: Promise<BridgeInfo>;
  /**
   * Resolves when the bridge forwards. Rejects as `bridge`, and with CniError 11 when it forwards
   * nothing: a pod on it would reach nobody.
   */
  readonly forwarding: Promise<void>;
}

export function lookAtBridge(call: Call, platform: Platform): BridgeLook {
  const { bridge, ovsdb } = call.settings;
  let found: (info: BridgeInfo) => void = () => undefined;
  let failed: (error: unknown) => void = () => undefined;
  const info = new Promise<BridgeInfo>((resolve, reject) => {
    found = resolve;
    failed = reject;
  });
  const forwarding = withSwitch(platform, call.settings, async (ovs) => {
    const known = await findBridge(call, ovs);
    found(known);
    const standstill = await findStandstill(ovs, bridge, known, ovsdb);
    if (standstill) throw new CniError('try-again-later', standstill.why, standstill.remedy);
  });
  forwarding.catch(failed);
  return { bridge: info, forwarding };
}

/** @throws CniError 100 when the bridge is missing and the configuration does not create it */
async function findBridge({ config, settings }: Call, ovs: Switch): Promise<BridgeInfo> {
  const { bridge, ovsdb } = settings;
  const info = await ovs.inspectBridge(bridge);
  if (info) return info;
  if (!config.createBridge) throw bridgeMissing(bridge, ovsdb);
  // The bridge stays when this ADD fails: other pods may use it by then.
  await ovs.createBridge(bridge, config.createBridge.datapathType);
  const created = await ovs.inspectBridge(bridge);
  if (created) return created;
  throw bridgeMissing(bridge, ovsdb);
}
