import type { SwitchError } from './switch-error.ts';

export type OpenFlowErrorCode =
  /** Nobody answers at the socket. */
  | 'unreachable'
  /** The connection is closed, or ended during a request, which may have been carried out. */
  | 'connection-lost'
  /** The switch did not answer within the deadline. The request may still be carried out. */
  | 'timeout'
  /** The switch does not speak OpenFlow 1.5, or sent what is no message of it. */
  | 'protocol'
  /** The switch answered with an error. Of a bundle it has carried out nothing. */
  | 'refused';

export interface OpenFlowErrorOptions extends ErrorOptions {
  readonly remedy?: string;
  readonly change?: number | undefined;
  readonly switchError?: SwitchError;
}

export class OpenFlowError extends Error {
  override readonly name = 'OpenFlowError';
  readonly code: OpenFlowErrorCode;
  readonly remedy: string;
  /** Index of the change that the switch refused. Absent: it refused the request as a whole. */
  readonly change: number | undefined;
  /** The switch's answer, of a `refused` request. */
  readonly switchError: SwitchError | undefined;

  constructor(
    code: OpenFlowErrorCode,
    message: string,
    { remedy = '', change, switchError, ...options }: OpenFlowErrorOptions = {},
  ) {
    super(message, options);
    this.code = code;
    this.remedy = remedy;
    this.change = change;
    this.switchError = switchError;
  }
}
