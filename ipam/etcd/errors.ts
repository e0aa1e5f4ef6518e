import {
  EtcdAuthenticationFailedError,
  EtcdInvalidAuthTokenError,
  EtcdPermissionDeniedError,
  GRPCCancelledError,
  GRPCDeadlineExceededError,
  GRPCUnauthenticatedError,
  GRPCUnavailableError,
} from 'etcd3';
import { IpamError } from '../errors.ts';

const UNREACHABLE = [GRPCUnavailableError, GRPCDeadlineExceededError, GRPCCancelledError];
const DENIED = [
  EtcdAuthenticationFailedError,
  EtcdPermissionDeniedError,
  EtcdInvalidAuthTokenError,
  GRPCUnauthenticatedError,
];

const isOneOf = (error: unknown, classes: readonly (new (...args: never[]) => Error)[]): boolean =>
  classes.some((each) => error instanceof each);

/** Whether another member of the cluster may answer what this one did not. */
export function isWorthAnotherEndpoint(error: unknown): boolean {
  return isOneOf(error, UNREACHABLE);
}

/**
 * The client's errors tell their kind by class only (their `name` is always `Error`).
 * @param writing a write was under way: unless etcd refused it, it may have been carried out
 */
export function translateError(error: unknown, endpoints: string, writing: boolean): IpamError {
  if (error instanceof IpamError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  if (isOneOf(error, DENIED)) {
    return new IpamError('store-denied', `etcd at ${endpoints} refused: ${reason}`, { cause: error });
  }
  if (isOneOf(error, UNREACHABLE)) {
    const how = error instanceof GRPCDeadlineExceededError ? 'did not answer in time' : 'is unreachable';
    return new IpamError('store-unreachable', `etcd at ${endpoints} ${how}: ${reason}`, {
      cause: error,
      uncertain: writing,
    });
  }
  return new IpamError('store-failed', `etcd at ${endpoints} failed: ${reason}`, {
    cause: error,
    uncertain: writing,
  });
}
