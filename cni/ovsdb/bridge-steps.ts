import { detachPorts } from './ports.ts';
import {
  asUuids,
  map,
  namedUuid,
  set,
  uuid,
  type Operation,
  type OperationResult,
  type Row,
  type Value,
} from './protocol.ts';
import { UPLINK_MARK } from './uplinks.ts';

export interface BridgePlan {
  readonly bridge: string;
  /** Device that leads to the physical switch, usually a bond. Its port carries all VLANs. */
  readonly uplink?: string | undefined;
  /** `standalone`: the bridge learns MAC addresses without a controller. */
  readonly failMode: 'standalone' | 'secure';
  readonly datapathType?: 'system' | 'netdev' | undefined;
  /**
   * MAC of the bridge's own port. Undefined: Open vSwitch takes the lowest MAC of the bridge's
   * ports, which changes as pods come and go.
   */
  readonly mac?: string | undefined;
  /** Longest wait for vswitchd, in milliseconds. */
  readonly deadlineMs?: number;
  readonly dryRun?: boolean;
}

/** One change and the operations that undo it. */
export interface BridgeStep {
  readonly change: string;
  readonly operations: readonly Operation[];
  /** Device that vswitchd must take up. */
  readonly device?: string;
  /** @param results the results of `operations` */
  readonly undo: (results: readonly OperationResult[]) => readonly Operation[];
}

/**
 * Returns steps for the settings of an existing bridge that differ from the plan.
 * Equivalent to: ovs-vsctl set bridge B …
 */
export function settingsOf(
  plan: BridgePlan,
  failMode?: string,
  datapathType = '',
  mac?: string,
): BridgeStep[] {
  const update = (row: Row): Operation[] => [
    { op: 'update', table: 'Bridge', where: [['name', '==', plan.bridge]], row },
  ];
  const steps: BridgeStep[] = [];
  if ((failMode ?? 'standalone') !== plan.failMode) {
    steps.push({
      change: `fail_mode of ${plan.bridge} set to ${plan.failMode} (was ${failMode ?? 'unset'})`,
      operations: update({ fail_mode: plan.failMode }),
      undo: () => update({ fail_mode: set(failMode === undefined ? [] : [failMode]) }),
    });
  }
  if (plan.datapathType !== undefined && plan.datapathType !== (datapathType || 'system')) {
    steps.push({
      change: `datapath of ${plan.bridge} set to ${plan.datapathType} (was ${datapathType || 'system'})`,
      operations: update({ datapath_type: plan.datapathType }),
      undo: () => update({ datapath_type: datapathType }),
    });
  }
  if (plan.mac !== undefined && mac === undefined) {
    const change = (mutator: 'insert' | 'delete', value: Value): Operation[] => [
      {
        op: 'mutate',
        table: 'Bridge',
        where: [['name', '==', plan.bridge]],
        mutations: [['other_config', mutator, value]],
      },
    ];
    steps.push({
      change: `MAC of ${plan.bridge} set to ${plan.mac}`,
      operations: change('insert', map({ hwaddr: plan.mac })),
      undo: () => change('delete', set(['hwaddr'])),
    });
  }
  return steps;
}

/**
 * Creates a bridge with its own port.
 * Equivalent to: ovs-vsctl add-br B -- set bridge B fail_mode=… datapath_type=…
 *   other_config:hwaddr=…
 */
export function creation({ bridge, failMode, datapathType = 'system', mac }: BridgePlan): BridgeStep {
  return {
    change: `bridge ${bridge} made (fail_mode ${failMode}, datapath ${datapathType})`,
    operations: createBridge(bridge, failMode, datapathType, mac),
    device: bridge,
    undo: ([, port, made]) => removeBridge(asUuids(made?.uuid), asUuids(port?.uuid)),
  };
}

/** Equivalent to: ovs-vsctl add-port B UPLINK external_ids:cellnet-uplink=true */
export function attachment(bridge: string, uplink: string): BridgeStep {
  return {
    change: `uplink ${uplink} attached to ${bridge}`,
    operations: attachUplink(bridge, uplink),
    device: uplink,
    undo: ([, port]) => detachPorts(asUuids(port?.uuid)),
  };
}

/**
 * Marks a port that somebody else attached as an uplink.
 * Equivalent to: ovs-vsctl set port UPLINK external_ids:cellnet-uplink=true
 */
export function marking(bridge: string, uplink: string): BridgeStep {
  const change = (mutator: 'insert' | 'delete'): Operation[] => [
    {
      op: 'mutate',
      table: 'Port',
      where: [['name', '==', uplink]],
      mutations: [['external_ids', mutator, map(UPLINK_MARK)]],
    },
  ];
  return {
    change: `uplink ${uplink} of ${bridge} marked as uplink`,
    operations: change('insert'),
    undo: () => change('delete'),
  };
}

/**
 * Removes a bridge, unless it has other ports by now: then the transaction fails.
 * Equivalent to: ovs-vsctl del-br B
 */
export function removeBridge(bridges: readonly string[], ports: readonly string[]): Operation[] {
  return bridges.flatMap((id): Operation[] => [
    {
      op: 'wait',
      table: 'Bridge',
      where: [['_uuid', '==', uuid(id)]],
      columns: ['ports'],
      until: '==',
      rows: [{ ports: set(ports.map(uuid)) }],
      timeout: 0,
    },
    {
      op: 'mutate',
      table: 'Open_vSwitch',
      where: [],
      mutations: [['bridges', 'delete', uuid(id)]],
    },
  ]);
}

function createBridge(name: string, failMode: string, datapathType: string, mac?: string): Operation[] {
  const settings: Row = {
    fail_mode: failMode,
    datapath_type: datapathType,
    ...(mac !== undefined && { other_config: map({ hwaddr: mac }) }),
  };
  return [
    { op: 'insert', table: 'Interface', 'uuid-name': 'interface', row: { name, type: 'internal' } },
    { op: 'insert', table: 'Port', 'uuid-name': 'port', row: { name, interfaces: namedUuid('interface') } },
    {
      op: 'insert',
      table: 'Bridge',
      'uuid-name': 'bridge',
      row: { name, ports: set([namedUuid('port')]), ...settings },
    },
    {
      op: 'mutate',
      table: 'Open_vSwitch',
      where: [],
      mutations: [['bridges', 'insert', set([namedUuid('bridge')])]],
    },
  ];
}

function attachUplink(bridge: string, name: string): Operation[] {
  return [
    { op: 'insert', table: 'Interface', 'uuid-name': 'interface', row: { name } },
    {
      op: 'insert',
      table: 'Port',
      'uuid-name': 'port',
      row: { name, interfaces: namedUuid('interface'), external_ids: map(UPLINK_MARK) },
    },
    {
      op: 'mutate',
      table: 'Bridge',
      where: [['name', '==', bridge]],
      mutations: [['ports', 'insert', set([namedUuid('port')])]],
    },
  ];
}
