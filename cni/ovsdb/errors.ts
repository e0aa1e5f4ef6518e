/**
 * Errors of an operation or of the commit carry the server's own `error` string as `code` (RFC 7047
 * section 4.1.3: "referential integrity violation", "constraint violation", "resources exhausted",
 * "I/O error", "timed out", …). The other codes are ours.
 */
export type OvsdbErrorCode =
  /** No server answers at the remote. */
  | 'unreachable'
  /** The connection is closed, or ended during a request, which may have been carried out. */
  | 'connection-lost'
  /**
   * The server did not answer within the deadline. What was sent may have been carried out, or may
   * still be.
   */
  | 'timeout'
  /** Too many changes wait for the server already. Nothing was sent. */
  | 'busy'
  /**
   * The remote is malformed, an `ssl:` remote lacks its files, or the server refused the request
   * itself.
   */
  | 'protocol'
  | 'bridge-missing'
  /** A port of that name already exists. */
  | 'port-exists'
  /** Open vSwitch took the port into its database but could not open the device. */
  | 'port-failed'
  /** Open vSwitch did not take the port up within the deadline. */
  | 'port-timeout'
  /** A mirror of that name is another's. */
  | 'mirror-not-ours'
  /** The mirror has an output already. */
  | 'mirror-taken'
  /** The uplink is on another bridge. */
  | 'uplink-taken'
  /** The server's own error string. */
  | (string & {});

export interface OvsdbErrorOptions extends ErrorOptions {
  readonly remedy?: string;
  /** Index of the failed operation in its transaction. */
  readonly operation?: number;
  /** True when the server has answered that it carried out nothing. */
  readonly refused?: boolean;
}

export class OvsdbError extends Error {
  override readonly name = 'OvsdbError';
  readonly code: OvsdbErrorCode;
  readonly remedy: string;
  readonly operation: number | undefined;
  readonly refused: boolean;

  constructor(
    code: OvsdbErrorCode,
    message: string,
    { remedy = '', operation, refused = false, ...options }: OvsdbErrorOptions = {},
  ) {
    super(message, options);
    this.code = code;
    this.remedy = remedy;
    this.operation = operation;
    this.refused = refused;
  }
}
