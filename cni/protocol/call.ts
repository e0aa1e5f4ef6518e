import type { NetworkConfig } from './config.ts';
import type { Request } from './request.ts';
import type { NodeSettings } from './settings.ts';

/** One call of a plugin, checked and resolved: what every verb is a function of. */
export interface Call {
  readonly request: Request;
  readonly config: NetworkConfig;
  readonly settings: NodeSettings;
  /** The configuration as it came: what delegates get. */
  readonly stdin: string;
}
