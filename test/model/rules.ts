/**
 * The rules of the product that the model can do without, to show that each is needed. Each is a
 * guard, an order or a step of the real programs.
 */
export const RULES = [
  /** A transaction compares the values that it was computed from. */
  'compare',
  /** The fence: a node recognises an etcd that is older than what the node has seen. */
  'fence',
  /** A node writes back what lives on it before it gives out anything. */
  'write-back',
  /** After a set-back a new address is probed on the wire. */
  'probe',
  /** A claim compares the record that tells of a set-back. */
  'told',
  /** A node gives out no address that one of its own pods uses. */
  'local-use',
  /** An ADD enters its address in the node's records, where no other has it, before it is used. */
  'carry',
  /** A deferred teardown makes sure that an earlier transaction can no longer take place. */
  'fencing',
  /** A release compares the owner. */
  'owner',
  /** A check lists the pods after the allocations. */
  'pods-second',
  /** A node lists its addresses in use before it reads etcd. */
  'addresses-first',
] as const;

/**
 * What decision 24 leaves open, as an assumption: after a set-back no node gives out anything
 * before every ADD that has got its address is done, and claims no block before every node that
 * lost something has told so.
 */
export const ASSUMPTION = 'told-before-claims';

export type Rule = (typeof RULES)[number] | typeof ASSUMPTION;
