import {
  EtcdAuthenticationFailedError,
  EtcdInvalidAuthTokenError,
  EtcdPermissionDeniedError,
  GRPCCancelledError,
  GRPCDeadlineExceededError,
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

/** Returns whether another member of the cluster may answer instead. */
export function isWorthAnotherEndpoint(error: unknown): boolean {
  return isOneOf(error, UNREACHABLE);
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
  if (error instanceof GRPCDeadlineExceededError) {
    return new IpamError('store-unreachable', `etcd at ${endpoints} did not answer in time`, {
      cause: error,
      uncertain: writing,
    });
  }
  if (isOneOf(error, DENIED)) {
    return new IpamError('store-denied', `etcd at ${endpoints} refused: ${reason}`, { cause: error });
  }
  if (isOneOf(error, UNREACHABLE)) {
    return new IpamError('store-unreachable', `etcd at ${endpoints} is unreachable: ${reason}`, {
      cause: error,
      uncertain: writing,
    });
  }
  return new IpamError('store-failed', `etcd at ${endpoints} failed: ${reason}`, {
    cause: error,
    uncertain: writing,
  });
}
