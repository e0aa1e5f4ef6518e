import type { Cidr } from '../../ipam/model/address.ts';

/**
 * Reports the progress of long work.
 * @param total 0 while the total is unknown
 */
export type Progress = (what: string, done: number, total: number) => void;

/** What a look needs besides its servers. */
export interface Looking {
  readonly progress: Progress;
  /** Ends the look early. The look then discards what it has read. */
  readonly signal?: AbortSignal | undefined;
  readonly warn: (text: string) => void;
  /** Tells what each round of `check --watch` would tell again. Default: as `warn` */
  readonly warnOnce?: (text: string) => void;
  /** Subnets from which another network gives addresses to pods. */
  readonly otherSubnets?: readonly Cidr[];
}
