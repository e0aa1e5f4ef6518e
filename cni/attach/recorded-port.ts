import type { Range } from '../../ipam/model/range.ts';
import { isOurIpam, type AttachmentRecord } from '../platform/node-records.ts';
import type { PortInfo, PortSpec } from '../platform/switch.ts';
import type { PortLimits } from '../protocol/limits.ts';
import { takesPart } from '../protocol/mirrors.ts';
import { hostLinkName, portExternalIds } from '../protocol/identity.ts';

type RecordedPort = NonNullable<AttachmentRecord['port']>;

/** Returns what the node's record keeps of a port. The record has its bridge, the link its name. */
export function recordedPort({
  tag,
  trunks,
  ofportRequest,
  externalIds,
  mirrors,
}: Omit<PortSpec, 'bridge' | 'name'>): RecordedPort {
  return {
    ...(tag !== undefined && { tag }),
    trunks: [...trunks],
    ...(ofportRequest !== undefined && { ofportRequest }),
    externalIds: { ...externalIds },
    ...(mirrors && { mirrors: mirrors.map(({ name, roles }) => ({ name, roles: [...roles] })) }),
  };
}

type RecordedLimits = NonNullable<AttachmentRecord['limits']>;

/** Returns what the node's record keeps of a pod's limits. */
export const recordedLimits = ({ source, fromPod, toPod }: PortLimits): RecordedLimits => ({
  ...(source && { source: [...source] }),
  ...(fromPod && { fromPod }),
  ...(toPod && { toPod }),
});

export const limitsOfRecord = ({ source, fromPod, toPod }: RecordedLimits): PortLimits => ({
  ...(source && { source }),
  ...(fromPod && { fromPod }),
  ...(toPod && { toPod }),
});

/**
 * Returns the port that the ADD of the record made; undefined when nothing tells its VLAN. A record
 * of an earlier version does not name it: then the port as it is counts, or the VLAN of the range.
 * @param found the port as it is now
 * @param ranges those of the attachment's addresses in etcd
 */
export function portOfRecord(
  record: AttachmentRecord,
  found: PortInfo | undefined,
  ranges: readonly Range[],
): PortSpec | undefined {
  const port =
    record.port ??
    (found && recordedPort({ ...found, ofportRequest: undefined })) ??
    portByRange(record, ranges[0]);
  if (!port) return undefined;
  const { tag, trunks, ofportRequest, externalIds, mirrors } = port;
  const { bridge, limits, mac } = record;
  return {
    ...{ bridge, name: hostLinkName(record), tag, trunks, ofportRequest, externalIds },
    ...(mirrors && { mirrors }),
    ...(limits && mac !== undefined && { limited: { limits: limitsOfRecord(limits), mac } }),
  };
}

function portByRange(record: AttachmentRecord, range: Range | undefined): RecordedPort | undefined {
  if (!range || !isOurIpam(record)) return undefined;
  const { podNamespace, podName, podUid, allocations = [] } = record;
  const args = {
    ...(podNamespace !== undefined && { podNamespace }),
    ...(podName !== undefined && { podName }),
    ...(podUid !== undefined && { podUid }),
  };
  const ips = allocations.map(({ address }) => address.split('/')[0] ?? address);
  return {
    ...(range.vlan !== undefined && { tag: range.vlan }),
    trunks: [],
    externalIds: portExternalIds(record, args, ips),
  };
}

/**
 * Returns whether the port has the VLANs, the marks and the parts in mirrors that the record names.
 * Further external_ids may be others'.
 */
export function isAsRecorded(
  found: PortInfo,
  { tag, trunks, externalIds, mirrors = [] }: RecordedPort,
): boolean {
  return (
    found.tag === tag &&
    sorted(found.trunks) === sorted(trunks) &&
    takesPart(found.mirrors ?? [], mirrors) &&
    Object.entries(externalIds).every(([key, value]) => found.externalIds[key] === value)
  );
}

const sorted = (vlans: readonly number[]): string => [...vlans].sort((a, b) => a - b).join();
