/**
 * What tells one machine from another. A node's name does not: a cloned image and a copied
 * configuration bring it along. Neither does `/etc/machine-id` alone, which a clone shares.
 */
export interface Machine {
  /** Short name for messages and for `cnictl node adopt`: a hash of the other fields. */
  readonly id: string;
  /** `/sys/class/dmi/id/product_uuid` in lower case; absent where the firmware has none. */
  readonly productUuid?: string;
  /** Permanent MACs of the network cards, sorted. Empty in a container that serves as a node. */
  readonly macs: readonly string[];
  /** `/etc/machine-id`; absent where there is none. */
  readonly machineId?: string;
}

/**
 * Returns whether both describe one machine. Of machines with network cards only a shared MAC
 * proves it: clones share the machine ID, and firmwares of one series may share a product UUID.
 * Where only some of the MACs are shared, the product UUIDs must not contradict: virtual machines
 * of one image may have an interface of the same MAC each, on a private network. Without cards to
 * compare, product UUID and machine ID must agree, as far as both are known.
 */
export function isSameMachine(a: Machine, b: Machine): boolean {
  const isKnown = (pair: readonly (string | undefined)[]): boolean => !pair.includes(undefined);
  const uuids = [a.productUuid, b.productUuid];
  if (a.macs.length > 0 && b.macs.length > 0) {
    const shared = a.macs.filter((mac) => b.macs.includes(mac)).length;
    if (shared === 0) return false;
    const all = shared === a.macs.length && shared === b.macs.length;
    return all || !isKnown(uuids) || a.productUuid === b.productUuid;
  }
  const comparable = [uuids, [a.machineId, b.machineId]].filter(isKnown);
  return comparable.length > 0 ? comparable.every(([one, other]) => one === other) : a.id === b.id;
}

/** What an ID may be, for a message. */
export const MACHINE_ID_FORM =
  "1 to 64 letters, digits, '_', '.' and '-', beginning with a letter or a digit";

export const isMachineId = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(text);

/** Returns the machine for a message: `machine 3f2a9c41 (52:54:00:12:34:56)`. */
export function describeMachine({ id, macs, machineId }: Machine): string {
  const evidence = macs.length > 0 ? macs.join(', ') : (machineId ?? 'no network card');
  return `machine ${id} (${evidence})`;
}
