import { ALIVE } from '../../ipam/records/alive-record.ts';
import { MACHINES } from '../../ipam/records/machine-record.ts';
import { RULES_CHANGED } from '../../ipam/records/rule-record.ts';
import { SET_BACK } from '../../ipam/records/set-back-record.ts';
import { USAGE } from '../../ipam/records/usage-record.ts';

/**
 * Returns whether nodes that live write the key by themselves, into an emptied etcd too. Such a key
 * is in the way of no restore, and the one in etcd is the newer: a restore only fills what is
 * missing.
 */
export const isOfLivingNodes = (key: string): boolean =>
  key.startsWith(MACHINES) || key.startsWith(ALIVE) || key.startsWith(USAGE) || key === SET_BACK;

/**
 * Returns whether the key belongs into a backup. The lease of an agent's key cannot be restored.
 * The key that changes with rules must not be what it once was. Samples of the usage tell of a pace
 * that is over, and agents take new ones.
 */
export const isKept = (key: string): boolean =>
  !key.startsWith(ALIVE) && !key.startsWith(USAGE) && key !== RULES_CHANGED;
