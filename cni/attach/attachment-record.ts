import type { AttachmentRecord, CommonRecord } from '../platform/node-records.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';

/** What a later DEL of the attachment needs to know, should its configuration be cut down. */
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

/** The same of an ADD, with what proves later whether its container lives. */
export function recordOfAdd(call: Call, platform: Platform): AttachmentRecord {
  const path = call.request.netns;
  const id = platform.namespaces.identify(path);
  return {
    ...recordOf(call, platform),
    bootId: platform.bootId,
    ...(id !== undefined && { netns: { path, id } }),
  };
}
