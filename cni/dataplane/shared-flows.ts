import type { Flow } from '../openflow/program.ts';
import type { Endpoint, Frontend, FrontendPlace } from '../services/frontend.ts';
import { macFlow } from './mac-flow.ts';
import { UDP } from './match.ts';
import type { RangeMap } from './range-map.ts';
import {
  addressFlow,
  endpointFlow,
  fragmentFlow,
  fragmentsToFlow,
  leavingEndpoint,
} from './service-flows.ts';

/** A flow that several frontends may need. */
export interface SharedFlow {
  readonly kind: 'reply' | 'fragment' | 'address' | 'mac';
  readonly key: string;
  /** Undefined: there is none, as the ranges are now. */
  readonly flow: () => Flow | undefined;
  /** What stands there when nobody needs it any more. Absent: nothing. */
  readonly afterwards?: () => Flow;
}

/** Returns the flows of a frontend that others may need too. */
export function sharedFlows(
  { kind, protocol, address, endpoints }: Frontend,
  ranges: RangeMap,
): SharedFlow[] {
  return [
    ...(kind === 'cluster'
      ? [{ kind: 'address' as const, key: `vip ${address.value}`, flow: () => addressFlow(address) }]
      : protocol === UDP
        ? [
            {
              kind: 'fragment' as const,
              key: `to ${address.value}`,
              flow: () => fragmentsToFlow(address),
            },
          ]
        : []),
    ...endpoints.flatMap((endpoint): SharedFlow[] => [
      {
        kind: 'reply',
        key: replyKey({ ...endpoint, protocol }),
        flow: () => endpointFlow({ ...endpoint, protocol }),
        // Connections of UDP are flushed.
        ...(protocol !== UDP && { afterwards: () => leavingEndpoint({ ...endpoint, protocol }) }),
      },
      ...(endpoint.address.family === 6
        ? [
            {
              kind: 'mac' as const,
              key: `mac ${endpoint.address.value} ${endpoint.ipv4?.value ?? ''}`,
              flow: () => macFlow(endpoint, ranges),
            },
          ]
        : []),
      ...(protocol === UDP
        ? [
            {
              kind: 'fragment' as const,
              key: `from ${endpoint.address.value}`,
              flow: () => fragmentFlow(endpoint.address),
            },
          ]
        : []),
    ]),
  ];
}

/** The key of the flow for an endpoint's replies. */
export const replyKey = ({ protocol, ...endpoint }: FrontendPlace): string =>
  `${protocol} ${endpointKey(endpoint)}`;

export const endpointKey = ({ address, port }: Pick<Endpoint, 'address' | 'port'>): string =>
  `${address.value.toString(36)} ${port}`;
