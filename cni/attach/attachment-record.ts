import type { AttachmentRecord, CommonRecord } from '../platform/node-records.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';

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

/** Returns the record of an ADD, which also shows later whether the container lives. */
export function recordOfAdd(call: Call, platform: Platform): AttachmentRecord {
  const path = call.request.netns;
  const id = platform.namespaces.identify(path);
  return {
    ...recordOf(call, platform),
    bootId: platform.bootId,
    ...(id !== undefined && { netns: { path, id } }),
  };
}
