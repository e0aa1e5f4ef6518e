import type { OvsdbClient } from '../../cni/ovsdb/client.ts';
import { isServed } from '../../cni/ovsdb/liveness.ts';
import { asArray, asNumber, asString, asUuids } from '../../cni/ovsdb/protocol.ts';
import { INTERFACE_COLUMNS, PORT_COLUMNS, uplinksOf, type UplinkRows } from '../../cni/ovsdb/uplinks.ts';
import { fail, ok, warn, type Check, type Finding } from './finding.ts';
import { lookAtForwarding } from './forwarding.ts';

/** A device that leads from the bridge to the switch, and the VLANs of its port. */
export interface Uplink {
  readonly name: string;
  readonly type: string;
  readonly adminState: string | undefined;
  readonly linkState: string | undefined;
  readonly error: string | undefined;
  readonly tag: number | undefined;
  readonly trunks: readonly number[];
  readonly mode: string | undefined;
}

export interface SwitchFacts {
  readonly version: string | undefined;
  /** Undefined when the bridge does not exist. */
  readonly bridge: { readonly datapathType: string; readonly uplinks: readonly Uplink[] } | undefined;
}

/** Longest time for ovs-vswitchd to apply an empty change, in milliseconds. */
const SERVED_WITHIN_MS = 3_000;

/** @param vlans returns the VLANs of the ranges, which the uplink must carry */
export function ovsChecks(
  open: () => Promise<OvsdbClient>,
  bridge: string,
  vlans: () => Promise<readonly number[]>,
): Check[] {
  const using = async <T>(work: (client: OvsdbClient) => Promise<T>): Promise<T> => {
    const client = await open();
    try {
      return await work(client);
    } finally {
      client.close();
    }
  };
  return [
    {
      name: 'Open vSwitch',
      look: async () => judgeSwitch(bridge, await using((client) => readSwitch(client, bridge))),
    },
    {
      name: 'ovs-vswitchd',
      look: async () => [judgeServed(await using((client) => isServed(client, SERVED_WITHIN_MS)))],
    },
    { name: 'forwarding', look: () => using((client) => lookAtForwarding(client, bridge)) },
    {
      name: 'VLANs',
      look: async () => {
        const [facts, wanted] = await Promise.all([using((client) => readSwitch(client, bridge)), vlans()]);
        // Without an uplink, the line of the bridge or the uplink says all there is to say.
        return facts.bridge && facts.bridge.uplinks.length > 0 ? [judgeVlans(facts, wanted)] : [];
      },
    },
  ];
}

const judgeServed = (served: boolean): Finding =>
  served
    ? ok('ovs-vswitchd', 'carries out changes')
    : fail(
        'ovs-vswitchd',
        `did not carry out a change within ${SERVED_WITHIN_MS} ms`,
        'systemctl status ovs-vswitchd; its log: /var/log/openvswitch/ovs-vswitchd.log',
      );

/** Reads everything in one transaction. */
export async function readSwitch(client: OvsdbClient, bridge: string): Promise<SwitchFacts> {
  const [root, bridges, ports, interfaces] = await client.transact([
    { op: 'select', table: 'Open_vSwitch', where: [], columns: ['ovs_version'] },
    { op: 'select', table: 'Bridge', where: [['name', '==', bridge]], columns: ['datapath_type', 'ports'] },
    {
      op: 'select',
      table: 'Port',
      where: [],
      columns: ['_uuid', ...PORT_COLUMNS, 'trunks', 'vlan_mode'],
    },
    {
      op: 'select',
      table: 'Interface',
      where: [],
      columns: ['_uuid', ...INTERFACE_COLUMNS, 'name', 'admin_state', 'link_state', 'error'],
    },
  ]);
  const version = asString(root?.rows?.[0]?.['ovs_version']);
  const found = bridges?.rows?.[0];
  if (!found) return { version, bridge: undefined };
  const members = new Set(asUuids(found['ports']));
  const uplinks = uplinksOf(members, ports?.rows ?? [], interfaces?.rows ?? []).map(uplinkOf);
  return { version, bridge: { datapathType: asString(found['datapath_type']) ?? '', uplinks } };
}

function uplinkOf({ port, device }: UplinkRows): Uplink {
  return {
    name: asString(device['name']) ?? '?',
    type: asString(device['type']) ?? '',
    adminState: asString(device['admin_state']),
    linkState: asString(device['link_state']),
    error: asString(device['error']),
    tag: asNumber(port['tag']),
    trunks: asArray(port['trunks']).flatMap((vlan) => (typeof vlan === 'number' ? [vlan] : [])),
    mode: asString(port['vlan_mode']),
  };
}

export function judgeSwitch(name: string, { version, bridge }: SwitchFacts): Finding[] {
  const lines = [ok('Open vSwitch', `version ${version ?? 'unknown'}`)];
  if (!bridge) {
    return [
      ...lines,
      fail('bridge', `'${name}' does not exist`, `cnictl node init --bridge ${name} --uplink DEVICE`),
    ];
  }
  const datapath = bridge.datapathType === 'netdev' ? 'userspace (netdev)' : 'kernel (system)';
  lines.push(ok('bridge', `${name}, datapath ${datapath}`));
  if (bridge.uplinks.length === 0) {
    const remedy = `cnictl node init --bridge ${name} --uplink DEVICE`;
    return [...lines, warn('uplink', `${name} has none: pods reach only this node`, remedy)];
  }
  return [...lines, ...bridge.uplinks.map(judgeUplink)];
}

function judgeUplink({ name, adminState, linkState, error }: Uplink): Finding {
  const check = `uplink ${name}`;
  if (error !== undefined) return fail(check, error, `ip link show ${name}; ovs-vsctl show`);
  if (adminState !== 'up')
    return fail(check, `is ${adminState ?? 'unknown'}: expected up`, `ip link set ${name} up`);
  if (linkState !== 'up')
    return fail(
      check,
      `has no link (${linkState ?? 'unknown'})`,
      'Look at the cable, the bond and the port of the switch.',
    );
  return ok(check, 'up, with link');
}

/** Finds VLANs that no uplink's port carries. The physical switch cannot be checked from here. */
export function judgeVlans({ bridge }: SwitchFacts, wanted: readonly number[]): Finding {
  const check = 'VLANs';
  if (!bridge || bridge.uplinks.length === 0)
    return warn(check, 'no uplink to look at', 'cnictl node init --uplink DEVICE');
  const carries = ({ tag, trunks, mode }: Uplink, vlan: number): boolean =>
    mode === 'access' || (mode === undefined && tag !== undefined && trunks.length === 0)
      ? tag === vlan
      : trunks.length === 0 || trunks.includes(vlan) || (tag === vlan && mode?.startsWith('native') === true);
  const missing = wanted.filter((vlan) => !bridge.uplinks.some((uplink) => carries(uplink, vlan)));
  if (missing.length > 0) {
    const names = bridge.uplinks.map(({ name }) => name).join(', ');
    return fail(
      check,
      `the uplink ${names} does not let VLAN ${missing.join(', ')} of the ranges through`,
      `ovs-vsctl clear port ${names} tag trunks, or add them to trunks`,
    );
  }
  const list =
    wanted.length === 0 ? 'no range has one' : `${wanted.join(', ')} of the ranges pass the uplink's port`;
  return ok(check, list);
}
