/** Addresses as numbers, as far as the page counts in them. The server has checked their form. */

/** Returns the address that lies so many places behind another. */
export function addressIn(cidr: string, index: number): string {
  const [base = ''] = cidr.split('/');
  return base.includes(':')
    ? formatIpv6(parseIpv6(base) + BigInt(index))
    : formatIpv4(parseIpv4(base) + index);
}

/** Returns which address of the block it is; -1: it is of another. */
export function indexIn(cidr: string, ip: string): number {
  const [base = '', length = ''] = cidr.split('/');
  if (base.includes(':') !== ip.includes(':')) return -1;
  const isSix = base.includes(':');
  const distance = isSix ? parseIpv6(ip) - parseIpv6(base) : BigInt(parseIpv4(ip) - parseIpv4(base));
  const size = 1n << BigInt((isSix ? 128 : 32) - Number(length));
  return distance >= 0n && distance < size ? Number(distance) : -1;
}

const parseIpv4 = (text: string): number =>
  text.split('.').reduce((value, part) => value * 256 + Number(part), 0);
const formatIpv4 = (value: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');

function parseIpv6(text: string): bigint {
  const [head = '', tail] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const [front, back] = [groups(head), groups(tail ?? '')];
  const zeros = tail === undefined ? 0 : 8 - front.length - back.length;
  const all = [...front, ...Array.from({ length: zeros }, () => '0'), ...back];
  return all.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

/** The text of RFC 5952: the longest run of zeros, of two or more, is left out. */
function formatIpv6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16),
  );
  let [best, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (groups[end] === '0') end += 1;
    if (end - i > length) [best, length] = [i, end - i];
  }
  if (best < 0) return groups.join(':');
  return `${groups.slice(0, best).join(':')}::${groups.slice(best + length).join(':')}`;
}
