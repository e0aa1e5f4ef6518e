import { createHash } from 'node:crypto';
import type { Address } from '../../ipam/model/address.ts';
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
 * Derives the pod's MAC from its IPv4 address: 0a:58 and the four bytes. A kept or reused address
 * keeps its MAC, so neighbours' ARP entries stay valid. Without IPv4, the MAC is 0a:59 and the low
 * four bytes of the IPv6 address, folded with the rest; it too is the same each time.
 */
export function macOf(addresses: readonly Address[]): string {
  const ipv4 = addresses.find((address) => address.family === 4);
  const [first] = addresses;
  if (!first) throw new Error('an attachment without address has no MAC');
  const low = ipv4 ? ipv4.value : fold(first.value);
  const bytes = [
    0x0a,
    ipv4 ? 0x58 : 0x59,
    ...[24n, 16n, 8n, 0n].map((shift) => Number((low >> shift) & 0xffn)),
  ];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/**
 * Returns the pod's MAC where another IPAM plugin gives the address: the interface exists before
 * its address is known. `0e` and 10 hexadecimal digits of the attachment's hash, the same at every
 * call; no MAC of {@link macOf} begins so.
 */
export function attachmentMacOf(attachment: Attachment): string {
  return `0e${digestOf(attachment).slice(0, 10)}`.replace(/..(?=.)/g, '$&:');
}

function fold(value: bigint): bigint {
  const parts = [0n, 32n, 64n, 96n].map((shift) => (value >> shift) & 0xffffffffn);
  return parts.reduce((sum, part, i) => sum ^ ((part << BigInt(i * 5)) & 0xffffffffn), 0n);
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
