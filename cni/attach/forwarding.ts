import type { BridgeFlows, BridgeInfo, Controller, Switch } from '../platform/switch.ts';

/** Why a bridge forwards nothing, and what to do. */
export interface Standstill {
  readonly why: string;
  readonly remedy: string;
}

/**
 * Returns why the bridge forwards nothing; undefined when it forwards, or when nobody can tell.
 * @param flows undefined when nobody could ask for them
 */
export function standstillOf(
  bridge: string,
  info: Pick<BridgeInfo, 'secure' | 'controllers'>,
  flows: BridgeFlows | undefined,
): Standstill | undefined {
  const { secure, controllers = [] } = info;
  if (!flows || flows.outputs) return undefined;
  const isConnected = controllers.some(({ connected }) => connected);
  // The controller may send each packet out by itself.
  if (flows.toController && isConnected) return undefined;
  // ovs-vswitchd takes over in fail mode `standalone` until a controller connects, by a flow that
  // it does not list: ovs-vswitchd.conf.db(5), Bridge `fail_mode`.
  if (!secure && controllers.length > 0 && !isConnected) return undefined;
  const missing = flows.count === 0 ? 'it has no flow' : `none of its ${flows.count} flows outputs anything`;
  const causes = [...(secure ? ['fail_mode is secure'] : []), ...controllers.map(controllerText)];
  return {
    why: `bridge '${bridge}' forwards nothing: ${missing}${causes.length > 0 ? ` (${causes.join(', ')})` : ''}`,
    remedy: remedyFor(bridge, Boolean(secure), controllers.length > 0),
  };
}

export const controllerText = ({ target, connected }: Controller): string =>
  `controller ${target} ${connected ? 'is connected' : 'is not connected'}`;

function remedyFor(bridge: string, secure: boolean, isControlled: boolean): string {
  if (isControlled)
    return `Let the controller's owner free the bridge (ovs-vsctl del-controller ${bridge}), or name another bridge.`;
  const byItself = secure ? `ovs-vsctl set-fail-mode ${bridge} standalone, or ` : '';
  return `Let it forward by itself: ${byItself}ovs-ofctl add-flow ${bridge} priority=0,actions=NORMAL`;
}

export const noDatapath = (bridge: string): Standstill => ({
  why: `ovs-vswitchd runs, but could not make bridge '${bridge}': the bridge has no datapath`,
  remedy:
    'Look for `failed to create bridge` in its log (/var/log/openvswitch/ovs-vswitchd.log): the kernel module is missing (modprobe openvswitch), or another ovs-vswitchd holds ovs-netdev.',
});

export const vswitchdAway = (ovsdb: string): Standstill => ({
  why: `ovs-vswitchd does not carry out what Open vSwitch's database at ${ovsdb} says: does it run?`,
  remedy: 'Look at the log of ovs-vswitchd: systemctl status ovs-vswitchd.',
});

/**
 * Looks whether the bridge forwards. A bridge without a datapath may be one that ovs-vswitchd is
 * about to make, so this function waits until ovs-vswitchd has carried out the database.
 * @param ovsdb remote of the database, for the text
 * @throws OvsdbError
 */
export async function findStandstill(
  ovs: Pick<Switch, 'inspectBridge' | 'isServed' | 'readFlows'>,
  bridge: string,
  info: BridgeInfo,
  ovsdb: string,
): Promise<Standstill | undefined> {
  const flows = await ovs.readFlows?.(bridge);
  if (!info.withoutDatapath && flows !== 'absent') return standstillOf(bridge, info, flows);
  if (!(await ovs.isServed())) return vswitchdAway(ovsdb);
  const [now, flowsNow] = await Promise.all([ovs.inspectBridge(bridge), ovs.readFlows?.(bridge)]);
  if (now?.withoutDatapath || flowsNow === 'absent') return noDatapath(bridge);
  return now && standstillOf(bridge, now, flowsNow);
}
