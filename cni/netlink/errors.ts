import { getSystemErrorMap, getSystemErrorName } from 'node:util';

/**
 * - missing: the path does not exist or cannot exist (ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG), so the
 *   namespace is gone.
 * - not-a-namespace: the path leads to something other than a network namespace.
 * - io: the process could not open or enter the namespace, or the namespace was closed.
 */
export type NamespaceErrorCode = 'missing' | 'not-a-namespace' | 'io';

/** Reports that a network namespace cannot be used. */
export class NamespaceError extends Error {
  override readonly name = 'NamespaceError';
  readonly code: NamespaceErrorCode;
  readonly path: string;

  constructor(code: NamespaceErrorCode, path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.path = path;
  }
}

/** Returns 'EEXIST' for 17. */
export const errnoName = (errno: number): string => getSystemErrorName(-errno);

/** Returns 'file already exists' for 17. */
const errnoText = (errno: number): string => getSystemErrorMap().get(-errno)?.[1] ?? `error ${errno}`;

export interface NetlinkErrorDetails extends ErrorOptions {
  /** The kernel's own sentence from its extended acknowledgement, if it sent one. */
  readonly kernelMessage?: string | undefined;
  /** A plainer explanation that replaces the kernel's text. */
  readonly explanation?: string | undefined;
}

/**
 * Reports that the kernel refused an operation on links, addresses, routes or packets. Callers
 * compare `code`, not the text.
 */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  /** Positive, as in errno.h. */
  readonly errno: number;
  /**
   * For example 'EEXIST', 'ENODEV' or 'ENOENT'. 'ETIMEDOUT' when the deadline passed, 'ECANCELED'
   * when the socket was closed.
   */
  readonly code: string;
  /** The requested operation, for example 'add address 10.20.0.17/22 to eth0'. */
  readonly operation: string;
  readonly kernelMessage: string | undefined;

  constructor(errno: number, operation: string, details: NetlinkErrorDetails = {}) {
    const code = errnoName(errno);
    const reason = details.explanation ?? details.kernelMessage ?? errnoText(errno);
    super(`${operation}: ${reason} (${code})`, details);
    this.errno = errno;
    this.code = code;
    this.operation = operation;
    this.kernelMessage = details.kernelMessage;
  }
}

/** Reports a link without the alias that marks it as ours. The caller leaves that link alone. */
export class NotOurLinkError extends Error {
  override readonly name = 'NotOurLinkError';
  readonly code = 'not-our-link';
  readonly link: string;
  /** The alias that the link carries, if any. */
  readonly alias: string | undefined;

  constructor(link: string, alias: string | undefined, expected: string) {
    const found = alias === undefined ? 'no alias' : `the alias '${alias}'`;
    super(`link ${link} has ${found}, expected '${expected}': it is not ours and was left alone`);
    this.link = link;
    this.alias = alias;
  }
}

/**
 * Returns the positive errno of an error, or undefined when it carries none. Node uses negative
 * numbers, the netlink addon positive ones.
 */
export const errnoOf = (error: unknown): number | undefined =>
  error instanceof Error && 'errno' in error && typeof error.errno === 'number'
    ? Math.abs(error.errno)
    : undefined;

/** Returns the promise's value, or undefined when the kernel reports no such link (ENODEV). */
export const unlessGone = async <Value>(promise: Promise<Value>): Promise<Value | undefined> => {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'ENODEV') return undefined;
    throw error;
  }
};
