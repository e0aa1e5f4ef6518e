import type { NetworkConfig } from './config.ts';
import { OUR_IPAM } from './config-schema.ts';
import type { Request } from './request.ts';
import type { NodeSettings } from './settings.ts';

/** One call of a plugin, validated and resolved: the input of every verb. */
export interface Call {
  readonly request: Request;
  readonly config: NetworkConfig;
  readonly settings: NodeSettings;
  /** The configuration exactly as the runtime sent it. Delegates receive it. */
  readonly stdin: string;
}

/** Returns the type of the IPAM plugin that gives the addresses, if it is not cellnet-ipam. */
export function delegateOf({ config: { ipamType } }: Pick<Call, 'config'>): string | undefined {
  return ipamType === OUR_IPAM ? undefined : ipamType;
}

/** Returns what a line of the log tells of the call's pod. */
export function logFieldsOf(call: Call): Record<string, string> {
  const { containerId, ifname, args } = call.request;
  return {
    containerId,
    ifname,
    network: call.config.name,
    pod: `${args.podNamespace ?? ''}/${args.podName ?? ''}`,
  };
}
