import { messageOf } from '../../ipam/model/errors.ts';
/**
 * Everything that asking the Kubernetes API server can fail at. There is no partial answer: a caller gets the whole list
 * as it was at one moment, or one of these errors and nothing.
 */
export type KubeErrorCode =
  /** No kubeconfig was found, or it does not say how to reach a cluster. */
  | 'config'
  /** The credentials that the kubeconfig names could not be had: plugin, token file or key file. */
  | 'credentials'
  /** 401: the server does not know us. */
  | 'unauthorized'
  /** 403: the server knows us, and we may not. */
  | 'forbidden'
  /** The server's certificate is not trusted, or ours was refused. */
  | 'tls'
  /** No connection, or one that broke before the whole answer was there, on every bounded attempt. */
  | 'unreachable'
  /** 429 or 5xx on every bounded attempt. */
  | 'unavailable'
  /** 410 on every bounded attempt: the server forgot the snapshot before we had read all of it. */
  | 'expired'
  /** The deadline for the whole operation passed. */
  | 'timeout'
  /** The caller's signal ended it. */
  | 'cancelled'
  /** A redirect, or another status that a Kubernetes API server does not give here. */
  | 'refused'
  /** The answer is not what a Kubernetes API server says: incomplete, contradictory, or of another kind. */
  | 'malformed';

export interface KubeErrorOptions {
  readonly remedy?: string;
  readonly cause?: unknown;
  /** HTTP status, where the server gave one. */
  readonly status?: number;
}

const REMEDIES: Readonly<Record<KubeErrorCode, string>> = {
  config: 'Name a kubeconfig with --kubeconfig or KUBECONFIG; `kubectl config view` shows what it holds.',
  credentials:
    'Run the credential plugin by hand, or check the files that the user entry in the kubeconfig names.',
  unauthorized: 'Log in again, or check the token or client certificate with `kubectl auth whoami`.',
  forbidden:
    'Grant it: `kubectl create clusterrole cellnet-check --verb=get,list --resource=pods,nodes,namespaces`, and bind it to this user with `kubectl create clusterrolebinding`.',
  tls: 'Check certificate-authority, tls-server-name and the client certificate in the kubeconfig.',
  unreachable:
    'Check the server address in the kubeconfig, and the network between here and there: `kubectl get --raw /readyz`.',
  unavailable: 'Wait until the API server is healthy (`kubectl get --raw /readyz?verbose`), then try again.',
  expired: 'Try again when the API server is less loaded: the list took longer than its history lasts.',
  timeout: 'Try again with a longer deadline, or look at the load of the API server.',
  cancelled: 'Run it again.',
  refused:
    'Check that the server address in the kubeconfig is the API server itself, and not something in front of it.',
  malformed:
    'Nothing was concluded from this answer. Check what answers at this address: `kubectl get --raw /version`.',
};

/** The message names the server and what it answered; `remedy` is what an operator does next. */
export class KubeError extends Error {
  readonly code: KubeErrorCode;
  readonly remedy: string;
  readonly status: number | undefined;

  constructor(code: KubeErrorCode, message: string, options: KubeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'KubeError';
    this.code = code;
    this.remedy = options.remedy ?? REMEDIES[code];
    this.status = options.status;
  }
}

/** The documented default remedy of a code, for docs/errors.md and its test. */
export function remedyOf(code: KubeErrorCode): string {
  return REMEDIES[code];
}

export const KUBE_ERROR_CODES = Object.keys(REMEDIES) as readonly KubeErrorCode[];

/** What a caught value says, for the end of a message. */
export function reasonOf(error: unknown): string {
  return messageOf(error);
}
