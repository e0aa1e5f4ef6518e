import type { Call } from './call.ts';
import type { Parts } from './parts.ts';
import type { AttachmentRecord, CommonRecord } from './state/node-state.ts';

/** What a later DEL of the attachment needs to know, should its configuration be cut down. */
export function recordOf(call: Call, parts: Parts): CommonRecord {
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
    createdAt: parts.now(),
  };
}

/** The same of an ADD, with what proves later whether its container lives. */
export function recordOfAdd(call: Call, parts: Parts): AttachmentRecord {
  const path = call.request.netns;
  const id = parts.namespaces.identify(path);
  return {
    ...recordOf(call, parts),
    bootId: parts.bootId,
    ...(id !== undefined && { netns: { path, id } }),
  };
}
