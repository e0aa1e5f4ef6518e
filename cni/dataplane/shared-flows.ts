import type { Flow } from '../openflow/program.ts';
import type { Endpoint, Frontend, FrontendPlace } from '../services/frontend.ts';
import { UDP } from './match.ts';
import {
  addressFlow,
  endpointFlow,
  fragmentFlow,
  fragmentsToFlow,
  leavingEndpoint,
} from './service-flows.ts';

/** A flow that several frontends may need. */
export interface SharedFlow {
  readonly kind: 'reply' | 'fragment' | 'address';
  readonly key: string;
  readonly flow: () => Flow;
  /** What stands there when nobody needs it any more. Absent: nothing. */
  readonly afterwards?: () => Flow;
}

/** Returns the flows of a frontend that others may need too. */
export function sharedFlows({ kind, protocol, address, endpoints }: Frontend): SharedFlow[] {
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
