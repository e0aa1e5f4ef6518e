import type { NetworkConfig } from './config.ts';
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
