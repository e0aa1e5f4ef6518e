import { getSystemErrorMap, getSystemErrorName } from 'node:util';

/**
 * missing: no such path, or one that cannot be (ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG), so the namespace is gone. not-a-namespace: the path leads to something that is
 * not a network namespace. io: it could not be looked at, or not entered.
 */
export type NamespaceErrorCode = 'missing' | 'not-a-namespace' | 'io';

/** A network namespace cannot be used. */
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

/** 17 → 'EEXIST'. */
export const errnoName = (errno: number): string => getSystemErrorName(-errno);

/** 17 → 'file already exists'. */
const errnoText = (errno: number): string => getSystemErrorMap().get(-errno)?.[1] ?? `error ${errno}`;

export interface NetlinkErrorDetails extends ErrorOptions {
  /** The kernel's own sentence (extended acknowledgement), when it gave one. */
  readonly kernelMessage?: string | undefined;
  /** A plainer explanation than the kernel's, put in its place. */
  readonly explanation?: string | undefined;
}

/** The kernel refused an operation on links, addresses, routes or packets. Compare `code`, not the text. */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  /** Positive, as in errno.h. */
  readonly errno: number;
  /** As 'EEXIST', 'ENODEV', 'ENOENT'; 'ETIMEDOUT' when the deadline passed, 'ECANCELED' when the socket was closed. */
  readonly code: string;
  /** What was asked, as 'add address 10.20.0.17/22 to eth0'. */
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

/** A link does not carry the alias that marks it as ours, and is left alone. */
export class NotOurLinkError extends Error {
  override readonly name = 'NotOurLinkError';
  readonly code = 'not-our-link';
  readonly link: string;
  /** The alias that was found, if any. */
  readonly alias: string | undefined;

  constructor(link: string, alias: string | undefined, expected: string) {
    const found = alias === undefined ? 'no alias' : `the alias '${alias}'`;
    super(`link ${link} has ${found}, expected '${expected}': it is not ours and was left alone`);
    this.link = link;
    this.alias = alias;
  }
}

/** The errno of an error of Node's own, or undefined. Node's are negative, the netlink addon's positive. */
export const errnoOf = (error: unknown): number | undefined =>
  error instanceof Error && 'errno' in error && typeof error.errno === 'number'
    ? Math.abs(error.errno)
    : undefined;

/** Whether an error carries one of these codes, as 'ENODEV'. */
export const hasCode = (error: unknown, ...codes: readonly string[]): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);

/** The promise's value, or undefined where the kernel says that the link does not exist (ENODEV). */
export const unlessGone = async <Value>(promise: Promise<Value>): Promise<Value | undefined> => {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'ENODEV') return undefined;
    throw error;
  }
};
