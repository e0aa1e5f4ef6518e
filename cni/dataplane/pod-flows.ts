import type { Address } from '../../ipam/model/address.ts';
import { PORT } from '../openflow/actions.ts';
import type { PortLimits } from '../protocol/limits.ts';
import type { Flow, Meter } from '../openflow/program.ts';
import { HAIRPIN } from './fixed-flows.ts';
import type { LocalPod } from './local-pod.ts';
import { FAMILIES, ip, to, UNTAGGED, value } from './match.ts';
import { sourceFlows } from './source-flows.ts';
import {
  cookieOf,
  FIRST_OF_ALL,
  goOn,
  NORMAL,
  rateMeters,
  TABLE,
  VLAN_REGISTER,
  vlanNumber,
  ZONE,
} from './tables.ts';

/**
 * Returns the flows of one pod: its packets are held to its limits and looked at for Services, and
 * packets for it may be replies of one.
 * @param services whether the bridge serves Services; otherwise a pod without limits needs no flow
 */
export function podFlows(pod: LocalPod, services: boolean): Flow[] {
  const { ofport, limits = {} } = pod;
  if (!services && !isLimited(limits)) return [];
  const cookie = cookieOf('pod', ofport);
  const from = value('in_port', ofport);
  const { toPod } = rateMeters(ofport);
  return [
    ...(isLimited(limits) ? limitFlows(pod, limits) : []),
    ...FAMILIES.flatMap((family): Flow[] => {
      // Tagged frames of a pod with trunks have no gateway that we know.
      const match = [from, UNTAGGED, ip(family)];
      const place = isLimited(limits)
        ? { table: TABLE.admitted, priority: 100 }
        : { table: TABLE.classify, priority: 2 };
      return services ? [{ ...place, cookie, match, actions: toServices(pod) }] : [];
    }),
    {
      ...{ table: TABLE.local, priority: 100, cookie, match: [value('eth_dst', pod.mac)] },
      actions: [...(limits.toPod ? [{ kind: 'meter', meter: toPod } as const] : []), goOn(TABLE.reply)],
    },
    ...(services ? endpointFlows(pod) : []),
  ];
}

/** Returns the meters of one pod's rates. */
export function podMeters({ ofport, limits = {} }: LocalPod): Meter[] {
  const ids = rateMeters(ofport);
  return (['fromPod', 'toPod'] as const).flatMap((way): Meter[] => {
    const rate = limits[way];
    return rate ? [{ id: ids[way], unit: 'kbps', rate: rate.kbps, burst: rate.burstKbit }] : [];
  });
}

export const isLimited = ({ source, fromPod, toPod }: PortLimits): boolean =>
  [source, fromPod, toPod].some((limit) => limit !== undefined);

/** All packets of the pod are looked at first, whatever flows others have. */
function limitFlows(pod: LocalPod, { source, fromPod }: PortLimits): Flow[] {
  const { ofport } = pod;
  const cookie = cookieOf('pod', ofport);
  const match = [value('in_port', ofport)];
  const meter: Flow['actions'] = fromPod ? [{ kind: 'meter', meter: rateMeters(ofport).fromPod }] : [];
  return [
    {
      ...{ table: TABLE.classify, priority: FIRST_OF_ALL, cookie, match },
      actions: [...meter, goOn(source ? TABLE.source : TABLE.admitted)],
    },
    ...(source ? sourceFlows(pod, source) : []),
    { table: TABLE.admitted, priority: 1, cookie, match, actions: [goOn(TABLE.local)] },
  ];
}

const toServices = ({ vlan }: LocalPod): Flow['actions'] => [
  { kind: 'set', to: value(VLAN_REGISTER, vlanNumber(vlan)) },
  goOn(TABLE.service),
];

function endpointFlows({ ofport, vlan, mac, addresses }: LocalPod): Flow[] {
  const cookie = cookieOf('pod', ofport);
  const from = value('in_port', ofport);
  const own = value('eth_dst', mac);
  const number = value(VLAN_REGISTER, vlanNumber(vlan));
  return [
    ...addresses.flatMap((address): Flow[] => [
      {
        ...{ table: TABLE.endpoint, priority: 300, cookie, match: [from, ip(address.family), to(address)] },
        actions: toItself(address),
      },
      {
        ...{ table: TABLE.endpoint, priority: 250, cookie },
        match: [number, ip(address.family), to(address)],
        actions: [{ kind: 'set', to: own }, NORMAL],
      },
    ]),
    {
      ...{ table: TABLE.hairpin, priority: 100, cookie, match: [from] },
      actions: [
        { kind: 'set', to: value('eth_src', GATEWAY_OF_ITSELF) },
        { kind: 'set', to: own },
        { kind: 'output', port: PORT.inPort },
      ],
    },
  ];
}

/** The MAC that a pod sees of itself behind a Service: 0a:58 and the hairpin's address. */
const GATEWAY_OF_ITSELF = 0x0a58_0000_0000n | HAIRPIN[4].value;

const toItself = ({ family }: Address): Flow['actions'] => [
  {
    ...{ kind: 'ct', commit: true, zone: ZONE.hairpin, table: TABLE.hairpin },
    nat: { side: 'src', family, address: HAIRPIN[family].value },
  },
];
