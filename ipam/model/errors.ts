/**
 * Everything that IPAM can refuse or fail at. The code tells the caller how to react. The message
 * names the key, the value and what was expected. `remedy` tells the operator what to do next.
 */
export type IpamErrorCode =
  /** A value that was entered or stored, or a pod's annotation, does not have the required form. */
  | 'invalid'
  /** The named range, block, address or allocation does not exist. */
  | 'not-found'
  /** The object to create exists already or overlaps with an existing one. */
  | 'conflict'
  /** The object to remove, or the address to exclude, is still in use. */
  | 'in-use'
  /** No range has an address left. One may become free later. */
  | 'exhausted'
  /** The requested address is assigned, kept or cooling, or its block cannot be read. */
  | 'taken'
  /** The address is kept for the pod, and an earlier container of it may live. */
  | 'still-used'
  /** A rule asks for what Kubernetes tells of the pod, and nobody told it. */
  | 'unknown-pod'
  /** Another machine has the node's name: this one may neither allocate nor release under it. */
  | 'other-machine'
  /** Other writers won every bounded attempt. */
  | 'contention'
  /** Too many requests of this process wait for etcd already. Nothing was sent. */
  | 'busy'
  /** etcd did not answer in time, or not at all. */
  | 'store-unreachable'
  /** etcd refused the credentials or the permission. */
  | 'store-denied'
  /** etcd compacted the moment of which a list was being read. Nothing was changed. */
  | 'store-compacted'
  /** etcd serves reads and refuses every write: it is full (alarm NOSPACE) or corrupt. */
  | 'store-read-only'
  /** etcd answered with another error of its own. */
  | 'store-failed'
  /** This version cannot read a record in etcd. */
  | 'corrupt-record';

export interface IpamErrorOptions {
  readonly remedy?: string;
  readonly cause?: unknown;
  /** True if a write was under way: etcd may have carried it out. */
  readonly uncertain?: boolean;
}

const REMEDIES: Readonly<Record<IpamErrorCode, string>> = {
  invalid: 'Correct the value and try again.',
  'not-found': 'Look up the name with `cnictl range list`, `cnictl block list` or `cnictl ip list`.',
  conflict: 'Choose a value that is not taken; `cnictl range list` shows what is.',
  'in-use': 'Wait until it is free, or release what holds it: `cnictl ip list` shows the owners.',
  exhausted: 'Add a range with `cnictl range add`, or look for leaked addresses with `cnictl check`.',
  taken: 'Look up who has it with `cnictl ip show ADDRESS`; request another, or none.',
  'still-used':
    'It ends with that container. Of a node that is gone: `cnictl check --release`, or `cnictl node remove`.',
  'unknown-pod':
    "Give the node access to the API server (key 'kubeconfig'), or look at `cnictl rule list` for a rule by names alone.",
  'other-machine':
    'Give this machine a node name of its own; if it replaces the other one: `cnictl node adopt`.',
  contention: 'Try again; if it lasts, look for a writer in a loop in the logs of etcd.',
  busy: 'Try again; if it lasts, look at what delays etcd: `etcdctl endpoint status`.',
  'store-unreachable': 'Check etcd with `etcdctl endpoint health`, and the endpoints in the configuration.',
  'store-denied': 'Check the user, password, certificates and the role of the etcd user.',
  'store-compacted': 'Try again: etcd was compacted several times while a long list was read.',
  'store-read-only':
    'Compact etcd and defragment each member (`etcdctl compact`, `etcdctl defrag --cluster`), then `etcdctl alarm disarm`.',
  'store-failed': 'Look at the message and at the logs of etcd (`etcdctl alarm list`).',
  'corrupt-record': 'Look at the key with `etcdctl get`, and mend it: docs/operations/bad-record.md.',
};

export class IpamError extends Error {
  readonly code: IpamErrorCode;
  readonly remedy: string;
  readonly uncertain: boolean;

  constructor(code: IpamErrorCode, message: string, options: IpamErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'IpamError';
    this.code = code;
    this.remedy = options.remedy ?? REMEDIES[code];
    this.uncertain = options.uncertain ?? false;
  }
}

/** Returns the default remedy of a code. */
export function remedyOf(code: IpamErrorCode): string {
  return REMEDIES[code];
}

export const IPAM_ERROR_CODES = Object.keys(REMEDIES) as readonly IpamErrorCode[];

/** Shorthand for the most frequent code. */
export function invalid(message: string): IpamError {
  return new IpamError('invalid', message);
}

/** Whether it is an error of the system with one of these codes, such as `ENOENT`. */
export const hasCode = (error: unknown, ...codes: readonly string[]): boolean =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code));

/**
 * Returns the message of anything that can be thrown. Node's error for a host name whose addresses
 * all refuse has no message of its own, but one for each address.
 */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== '') return error.message;
  if (error instanceof AggregateError && error.errors.length > 0)
    return error.errors.map(messageOf).join('; ');
  return 'code' in error ? String(error.code) : error.name;
}
