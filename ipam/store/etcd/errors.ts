import {
  EtcdAuthenticationFailedError,
  EtcdInvalidAuthTokenError,
  EtcdPermissionDeniedError,
  GRPCCancelledError,
  GRPCDeadlineExceededError,
  GRPCFailedPreconditionError,
  GRPCResourceExhastedError,
  GRPCUnauthenticatedError,
  GRPCUnavailableError,
} from 'etcd3';
import { IpamError, messageOf } from '../../model/errors.ts';

const UNREACHABLE = [GRPCUnavailableError, GRPCDeadlineExceededError, GRPCCancelledError];
const DENIED = [
  EtcdAuthenticationFailedError,
  EtcdPermissionDeniedError,
  EtcdInvalidAuthTokenError,
  GRPCUnauthenticatedError,
];

const isOneOf = (error: unknown, classes: readonly (new (...args: never[]) => Error)[]): boolean =>
  classes.some((each) => error instanceof each);

/** Returns whether etcd refused the login or the user. */
export const isDenied = (error: unknown): boolean =>
  isOneOf(error, DENIED) || messageOf(error).includes('user name is empty');

/** Returns whether no connection came about, for which a certificate can be the cause. */
export const isUnconnected = (error: unknown): boolean => error instanceof GRPCUnavailableError;

/** A member's own deadline passed. etcd gives the error no class of its own. */
const isLateInside = (error: unknown): boolean =>
  /context (deadline exceeded|canceled)/.test(messageOf(error));

/** Alarms with which etcd goes on to serve reads, and refuses writes. */
const READ_ONLY: readonly { readonly text: RegExp; readonly state: string; readonly remedy?: string }[] = [
  { text: /database space exceeded/, state: 'has used up its quota (alarm NOSPACE)' },
  {
    text: /corrupt cluster/,
    state: 'is corrupt (alarm CORRUPT)',
    remedy: 'Replace the member that `etcdctl alarm list` names, then `etcdctl alarm disarm`.',
  },
];

/**
 * Returns whether a member answers that it cannot serve now: a learner, one that is not the leader,
 * one with too many requests. Two errors of the same classes concern the whole cluster: the space
 * that its quota leaves, and authentication.
 */
function isUnable(error: unknown): boolean {
  const classes = [GRPCFailedPreconditionError, GRPCResourceExhastedError];
  return isOneOf(error, classes) && !/space exceeded|auth/.test(messageOf(error));
}

/** Returns whether another member of the cluster may answer instead. */
export function isWorthAnotherEndpoint(error: unknown): boolean {
  return isOneOf(error, UNREACHABLE) || isUnable(error) || isLateInside(error);
}

/**
 * Returns whether etcd refused the request for its login alone: the token of a JWT provider ends
 * with any change of users and roles.
 */
export function isOutdatedLogin(error: unknown): boolean {
  return messageOf(error).includes('revision of auth store is old');
}

/** Extracts the cause from gRPC's error text: `connect ECONNREFUSED 127.0.0.1:2379`. */
function reasonOf(error: unknown): string {
  const text = messageOf(error);
  const [, cause] = /Last error: (?:Error: )?(.+?)\.? *(?:Resolution note:.*)?$/s.exec(text) ?? [];
  if (cause !== undefined && !['null', 'undefined'].includes(cause)) return cause;
  return text.replace(/^\d+ [A-Z_]+: /, '').replace(/\.? *Last error: (null|undefined).*$/s, '');
}

/**
 * Translates an error of the client, whose class alone tells the kind (`name` is always `Error`).
 * @param writing true if a write was under way: unless etcd refused it, it may have applied
 */
export function translateError(error: unknown, endpoints: string, writing: boolean): IpamError {
  if (error instanceof IpamError) return error;
  const reason = reasonOf(error);
  if (error instanceof GRPCDeadlineExceededError || isLateInside(error)) {
    return new IpamError('store-unreachable', `etcd at ${endpoints} did not answer in time`, {
      cause: error,
      uncertain: writing,
    });
  }
  if (isDenied(error)) {
    return new IpamError('store-denied', `etcd at ${endpoints} refused: ${reason}`, { cause: error });
  }
  if (isOneOf(error, UNREACHABLE)) {
    return new IpamError('store-unreachable', `etcd at ${endpoints} is unreachable: ${reason}`, {
      cause: error,
      uncertain: writing,
    });
  }
  if (/revision has been compacted/.test(reason)) {
    return new IpamError('store-compacted', `etcd at ${endpoints} failed: ${reason}`, { cause: error });
  }
  const readOnly = READ_ONLY.find(({ text }) => text.test(reason));
  if (readOnly) {
    const { state, remedy } = readOnly;
    return new IpamError(
      'store-read-only',
      `etcd at ${endpoints} ${state}, so it refuses every write: ${reason}`,
      { cause: error, uncertain: writing, ...(remedy !== undefined && { remedy }) },
    );
  }
  if (isUnable(error)) {
    return new IpamError('store-unreachable', `etcd at ${endpoints} cannot serve now: ${reason}`, {
      cause: error,
      uncertain: writing,
    });
  }
  return new IpamError('store-failed', `etcd at ${endpoints} failed: ${reason}`, {
    cause: error,
    uncertain: writing,
  });
}
