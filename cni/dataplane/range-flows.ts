import type { Range } from '../../ipam/model/range.ts';
import type { Flow } from '../openflow/program.ts';
import { ip, value, within } from './match.ts';
import { cookieOf, MARK_POD, NORMAL, TABLE, VLAN_REGISTER, vlanNumber } from './tables.ts';

/** What the bridge's program knows of a range. */
export type RangePlace = Pick<Range, 'name' | 'cidr' | 'vlan' | 'exclude' | 'gateway'>;

/**
 * Returns the flow by which pods on the range's VLAN reach endpoints in the range without their
 * gateway: a pod's MAC is 0a:58 and its IPv4 address (`macOf` in ipam/model/mac.ts).
 */
export function rangeFlows({ cidr, vlan }: RangePlace): Flow[] {
  if (cidr.base.family !== 4) return [];
  return [
    {
      ...{ table: TABLE.endpoint, priority: 200, cookie: cookieOf('fixed') },
      match: [value(VLAN_REGISTER, vlanNumber(vlan)), value('ct_mark', MARK_POD), ip(4), within('dst', cidr)],
      actions: [
        { kind: 'set', to: value('eth_dst', 0x0a58_0000_0000n, 0xffff_0000_0000n) },
        { kind: 'copy', bits: 32, from: 'ipv4_dst', fromBit: 0, to: 'eth_dst', toBit: 0 },
        NORMAL,
      ],
    },
  ];
}
