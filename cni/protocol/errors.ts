import { IpamError, type IpamErrorCode } from '../../ipam/model/errors.ts';

/**
 * Error codes of a CNI reply. The specification defines 1 to 99 (CNI SPEC 1.1.0, section 5
 * "Error"), cellnet those from 100 on. A test compares this table with docs/errors.md.
 */
export const CNI_CODES = {
  'incompatible-version': 1,
  'unsupported-field': 2,
  'unknown-container': 3,
  'invalid-environment': 4,
  'io-failure': 5,
  'decode-failure': 6,
  'invalid-config': 7,
  'invalid-namespace': 8,
  'try-again-later': 11,
  'not-available': 50,
  'not-available-limited': 51,
  'bridge-missing': 100,
  'port-failed': 101,
  'kernel-refused': 102,
  'not-ours': 103,
  'delegate-failed': 104,
  'check-failed': 105,
  'record-corrupt': 106,
  'etcd-denied': 107,
  'etcd-failed': 108,
  'other-machine': 109,
  internal: 999,
} as const;

export type CniErrorKind = keyof typeof CNI_CODES;

/** The error that the plugin reports to the runtime. `details` is the operator's next step. */
export class CniError extends Error {
  readonly kind: CniErrorKind;
  readonly code: number;
  readonly details: string;

  constructor(
    kind: CniErrorKind,
    message: string,
    details = '',
    options: { cause?: unknown; code?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CniError';
    this.kind = kind;
    this.code = options.code ?? CNI_CODES[kind];
    this.details = details;
  }
}

/** Maps each IPAM error code to the kind that the plugin reports to the runtime. */
const OF_IPAM: Readonly<Record<IpamErrorCode, CniErrorKind>> = {
  invalid: 'invalid-config',
  'not-found': 'invalid-config',
  conflict: 'invalid-config',
  'in-use': 'invalid-config',
  exhausted: 'try-again-later',
  taken: 'try-again-later',
  'still-used': 'try-again-later',
  'unknown-pod': 'try-again-later',
  'other-machine': 'other-machine',
  contention: 'try-again-later',
  busy: 'try-again-later',
  'store-unreachable': 'try-again-later',
  'store-denied': 'etcd-denied',
  'store-compacted': 'try-again-later',
  'store-read-only': 'etcd-failed',
  'store-failed': 'etcd-failed',
  'corrupt-record': 'record-corrupt',
};

/** Kernel and OVSDB errors have a `code` and a message of their own. */
interface CodedError extends Error {
  readonly code: string;
}

const isCoded = (error: Error): error is CodedError => 'code' in error && typeof error.code === 'string';

const OF_OVSDB: Readonly<Record<string, CniErrorKind>> = {
  unreachable: 'try-again-later',
  'connection-lost': 'try-again-later',
  timeout: 'try-again-later',
  busy: 'try-again-later',
  'port-timeout': 'try-again-later',
  'bridge-missing': 'bridge-missing',
  'mirror-not-ours': 'not-ours',
  'mirror-taken': 'try-again-later',
};

const OF_NAMESPACE: Readonly<Record<string, CniErrorKind>> = {
  missing: 'invalid-namespace',
  'not-a-namespace': 'invalid-namespace',
};

/** Converts any failure to the reply for the runtime. An unexpected error gets code 999. */
export function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  if (error instanceof IpamError)
    return new CniError(OF_IPAM[error.code], error.message, error.remedy, { cause: error });
  if (!(error instanceof Error)) return new CniError('internal', String(error));
  const remedy = 'remedy' in error && typeof error.remedy === 'string' ? error.remedy : '';
  const kind = isCoded(error) ? kindOf(error) : 'internal';
  return new CniError(kind, error.message, remedy, { cause: error });
}

function kindOf(error: CodedError): CniErrorKind {
  switch (error.name) {
    case 'OvsdbError':
      return OF_OVSDB[error.code] ?? 'port-failed';
    case 'NamespaceError':
      return OF_NAMESPACE[error.code] ?? 'io-failure';
    case 'NetlinkError':
      return 'kernel-refused';
    default:
      return error.code.startsWith('E') ? 'io-failure' : 'internal';
  }
}

export function bridgeMissing(bridge: string, ovsdb: string): CniError {
  return new CniError(
    'bridge-missing',
    `bridge '${bridge}' does not exist in Open vSwitch at ${ovsdb}`,
    `Make it: cnictl node init --bridge ${bridge} --uplink DEVICE; or set "createBridge": true.`,
  );
}
