import { isAttachment, type Attachment } from '../../ipam/model/attachment.ts';
import type { Failures } from '../attach/failures.ts';
import { isAsRecorded } from '../attach/recorded-port.ts';
import { withSwitch } from '../platform/connections.ts';
import { isOurInterface, type AttachmentRecord } from '../platform/node-records.ts';
import type { Platform } from '../platform/platform.ts';
import type { PortInfo } from '../platform/switch.ts';
import { hostLinkName } from '../protocol/identity.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import type { Facts, PortFault } from './verdict.ts';

/** A port with cellnet's marks. */
export interface OurPort extends Attachment {
  readonly info: PortInfo;
  readonly at: SwitchAddress | undefined;
}

/** Returns the ports' bridge names, which are also device names; '' for a port on no bridge. */
export const bridgesOf = (ports: readonly OurPort[]): string[] => ports.map(({ info }) => info.bridge ?? '');

/** Reads the ports of every attachment of the node, or what can be read of them. */
export async function readSwitches(
  platform: Platform,
  places: readonly SwitchAddress[],
  failures: Failures,
): Promise<{ ports: OurPort[]; complete: boolean }> {
  const reads = places.map((at) =>
    failures.attempt(`ports at ${at.ovsdb}`, async () => {
      const ports = await withSwitch(platform, at, (ovs) => ovs.findPorts());
      return ports.map((info) => ourPort(info, at));
    }),
  );
  const found = await Promise.all(reads);
  const ports = found.flatMap((each) => each ?? []);
  for (const port of ports.filter((each) => !isAttachment(each)))
    await failures.attempt(`ports at ${port.at?.ovsdb ?? ''}`, () => Promise.reject(notOfAnAdd(port)));
  return { ports: ports.filter(isAttachment), complete: !found.includes(undefined) };
}

/** Reads the ports of one attachment. @throws OvsdbError */
export async function readPorts(
  platform: Platform,
  at: SwitchAddress,
  { containerId, ifname }: Attachment,
): Promise<OurPort[]> {
  const ports = await withSwitch(platform, at, (ovs) => ovs.findPorts(containerId, ifname));
  return ports.map((info) => ourPort(info, at));
}

/** Returns the error for a port that carries cellnet's mark, and nothing that an ADD writes. */
function notOfAnAdd({ info, containerId, ifname }: OurPort): Error {
  return new Error(
    `port '${info.name}' has external_ids container-id=${JSON.stringify(containerId)}, ifname=${JSON.stringify(ifname)}: expected those of an attachment; it is left alone`,
  );
}

function ourPort(info: PortInfo, at: SwitchAddress): OurPort {
  const { 'container-id': containerId = '', ifname = '' } = info.externalIds;
  return { containerId, ifname, info, at };
}

/**
 * A port with cellnet's external_ids under another name is not cellnet's. It protects all ports of
 * the attachment from removal.
 */
export function portStateOf(
  attachment: Attachment,
  ports: readonly OurPort[],
  { isInSight, complete }: { readonly isInSight: boolean; readonly complete: boolean },
): Facts['port'] {
  if (ports.length === 0) return complete ? 'absent' : 'unknown';
  const name = hostLinkName(attachment);
  return isInSight && ports.every(({ info }) => info.name === name) ? 'present' : 'elsewhere';
}

/**
 * Compares the port with the one that the ADD made. A record of an earlier version tells only its
 * bridge.
 */
export function portFaultOf(
  state: Facts['port'],
  [port]: readonly OurPort[],
  record: AttachmentRecord | undefined,
): PortFault | undefined {
  if (!record || !isOurInterface(record)) return undefined;
  if (state === 'absent') return 'no-port';
  if (state !== 'present' || !port) return undefined;
  if (port.info.bridge !== record.bridge) return 'port-moved';
  return record.port && !isAsRecorded(port.info, record.port) ? 'port-changed' : undefined;
}
