import type { Address } from './address.ts';

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

function fold(value: bigint): bigint {
  const parts = [0n, 32n, 64n, 96n].map((shift) => (value >> shift) & 0xffffffffn);
  return parts.reduce((sum, part, i) => sum ^ ((part << BigInt(i * 5)) & 0xffffffffn), 0n);
}
