import type { AttachmentRecord, CommonRecord } from '../platform/node-records.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import type { Grant, GrantedAddress } from '../protocol/grant.ts';

/** Returns what a later DEL of the attachment needs if its configuration is cut down. */
export function recordOf(call: Call, platform: Platform): CommonRecord {
  const { etcd, node, bridge, ovsdb, ovsdbTls } = call.settings;
  return {
    v: 1,
    network: call.config.name,
    containerId: call.request.containerId,
    ifname: call.request.ifname,
    ...(call.config.ipamType !== undefined && { ipamType: call.config.ipamType }),
    etcd: { ...etcd, endpoints: [...etcd.endpoints] },
    node,
    bridge,
    ovsdb,
    ovsdbTls,
    createdAt: platform.now(),
  };
}

/**
 * Returns the record of an ADD. Later it shows whether the container lives, and which addresses it
 * uses.
 * @param granted what our IPAM allocated
 * @param mac of the pod's end; undefined when another main plugin makes the interface
 */
export function recordOfAdd(
  call: Call,
  platform: Platform,
  granted: readonly GrantedAddress[],
  mac?: string,
): AttachmentRecord {
  const path = call.request.netns;
  const id = platform.namespaces.identify(path);
  const { podNamespace, podName, podUid } = call.request.args;
  return {
    ...recordOf(call, platform),
    bootId: platform.bootId,
    ...(id !== undefined && { netns: { path, id } }),
    allocations: granted.map(({ address, range, rule, allocatedAt }) => ({
      ...{ address, range, allocatedAt },
      ...(rule !== undefined && { rule }),
    })),
    ...(mac !== undefined && { mac }),
    ...(podNamespace !== undefined && { podNamespace }),
    ...(podName !== undefined && { podName }),
    ...(podUid !== undefined && { podUid }),
  };
}

/** Returns what the record keeps of what another IPAM plugin gave; nothing before it gave any. */
export const recordedGrant = ({ ips, routes, dns }: Grant): Pick<AttachmentRecord, 'delegated'> =>
  ips.length === 0
    ? {}
    : {
        delegated: {
          ips: ips.map((ip) => ({ ...ip })),
          routes: routes.map((route) => ({ ...route })),
          ...(dns !== undefined && { dns }),
        },
      };
