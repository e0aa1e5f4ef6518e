/**
 * RFC 7047 errors: those of an operation or of the commit carry the server's own `error` string as `code` (section 4.1.3:
 * "referential integrity violation", "constraint violation", "resources exhausted", "I/O error", "timed out", …).
 * The rest are ours.
 */
export type OvsdbErrorCode =
  /** No server answers at the remote. */
  | 'unreachable'
  /** The connection ended while a request was under way. */
  | 'connection-lost'
  /** No answer within the deadline. */
  | 'timeout'
  /** What came is not what RFC 7047 says. */
  | 'protocol'
  | 'bridge-missing'
  /** A port of that name is there already. */
  | 'port-exists'
  /** Open vSwitch took the port into its database, but could not open the device. */
  | 'port-failed'
  /** Open vSwitch did not take the port up within the deadline. */
  | 'port-timeout'
  /** The uplink is on another bridge. */
  | 'uplink-taken'
  /** The server's own error string. */
  | (string & {});

export interface OvsdbErrorOptions extends ErrorOptions {
  readonly remedy?: string;
  /** Index of the operation of the transaction that failed. */
  readonly operation?: number;
}

export class OvsdbError extends Error {
  override readonly name = 'OvsdbError';
  readonly code: OvsdbErrorCode;
  readonly remedy: string;
  readonly operation: number | undefined;

  constructor(
    code: OvsdbErrorCode,
    message: string,
    { remedy = '', operation, ...options }: OvsdbErrorOptions = {},
  ) {
    super(message, options);
    this.code = code;
    this.remedy = remedy;
    this.operation = operation;
  }
}
