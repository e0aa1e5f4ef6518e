import type { Call } from './call.ts';
import type { Parts } from './parts.ts';
import type { AttachmentRecord } from './state/node-state.ts';

/** What a later DEL of the attachment needs to know, should its configuration be cut down. */
export function recordOf(call: Call, parts: Parts): AttachmentRecord {
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
