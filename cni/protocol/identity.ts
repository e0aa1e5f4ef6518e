import { createHash } from 'node:crypto';
import type { Attachment } from '../../ipam/model/attachment.ts';
import type { CniArgs } from './request.ts';

/**
 * Returns the name of the veth's host end, the same at every call: `cell` and 11 hexadecimal digits
 * of a hash, 15 bytes in total (IFNAMSIZ without NUL). With 44 bits, two of 250 attachments on a
 * node collide on about 2 of 10^9 nodes; the alias then tells them apart.
 */
export function hostLinkName(attachment: Attachment): string {
  return `cell${digestOf(attachment).slice(0, 11)}`;
}

function digestOf({ containerId, ifname }: Attachment): string {
  return createHash('sha256').update(`${containerId}/${ifname}`).digest('hex');
}

/**
 * Returns the MAC of the veth's host end: `fe` and 10 hexadecimal digits of the same hash. udev
 * replaces a MAC that the kernel chose at random (`MACAddressPolicy=persistent`), and leaves one
 * that was set. A bridge without a MAC of its own takes the lowest of its ports: `fe` is above the
 * uplink's, as it is of virtual machines' links in libvirt.
 */
export function hostMacOf(attachment: Attachment): string {
  return `fe${digestOf(attachment).slice(0, 10)}`.replace(/..(?=.)/g, '$&:');
}

/** Returns the alias that marks a link as cellnet's (rule 7; IFLA_IFALIAS, at most 255 bytes). */
export function linkAlias({ containerId, ifname }: Attachment): string {
  return `cellnet:${containerId.slice(0, 200)}:${ifname}`;
}

/**
 * Returns the pod's MAC where another IPAM plugin gives the address: the interface exists before
 * its address is known. `0e` and 10 hexadecimal digits of the attachment's hash, the same at every
 * call; no MAC of `macOf` begins so.
 */
export function attachmentMacOf(attachment: Attachment): string {
  return `0e${digestOf(attachment).slice(0, 10)}`.replace(/..(?=.)/g, '$&:');
}

/** The keys that mark cellnet's rows in OVSDB. Operators and scripts rely on these names. */
export const OUR_EXTERNAL_IDS: readonly string[] = [
  'owner',
  'network',
  'container-id',
  'ifname',
  'pod-namespace',
  'pod-name',
  'pod-uid',
  'ip',
];

export function portExternalIds(
  attachment: Attachment & { readonly network: string },
  args: CniArgs,
  ips: readonly string[] | undefined,
): Record<string, string> {
  return {
    owner: 'cellnet',
    network: attachment.network,
    'container-id': attachment.containerId,
    ifname: attachment.ifname,
    ...(args.podNamespace !== undefined && { 'pod-namespace': args.podNamespace }),
    ...(args.podName !== undefined && { 'pod-name': args.podName }),
    ...(args.podUid !== undefined && { 'pod-uid': args.podUid }),
    ...(ips && { ip: ips.join(',') }),
  };
}
