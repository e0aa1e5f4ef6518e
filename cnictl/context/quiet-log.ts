import type { Log } from '../../cni/platform/platform.ts';

/** Discards what the node's programs would log: the command tells its result itself. */
export const quietLog: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };
