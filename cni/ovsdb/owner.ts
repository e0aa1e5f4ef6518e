import { map, type Condition } from './protocol.ts';

/** Value of `external_ids:owner` of cellnet's rows. */
export const OWNER = 'cellnet';

/** Returns the condition for rows with our mark, of one attachment or of all. */
export function ours(containerId?: string, ifname?: string): Condition[] {
  const marks = {
    owner: OWNER,
    ...(containerId !== undefined && { 'container-id': containerId }),
    ...(ifname !== undefined && { ifname }),
  };
  return [['external_ids', 'includes', map(marks)]];
}
