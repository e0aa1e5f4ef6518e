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

/** Whether another member of the cluster may answer what this one did not. */
export function isWorthAnotherEndpoint(error: unknown): boolean {
  return isOneOf(error, UNREACHABLE);
}

/** The cause alone, out of gRPC's account of how it was found: `connect ECONNREFUSED 127.0.0.1:2379`. */
function reasonOf(error: unknown): string {
  const text = messageOf(error);
  const [, cause] = /Last error: (?:Error: )?(.+?)\.? *(?:Resolution note:.*)?$/s.exec(text) ?? [];
  return cause ?? text.replace(/^\d+ [A-Z_]+: /, '');
}

/**
 * The client's errors tell their kind by class only (their `name` is always `Error`).
 * @param writing a write was under way: unless etcd refused it, it may have been carried out
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
