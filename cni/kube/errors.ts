import { messageOf } from '../../ipam/model/errors.ts';

/**
 * The ways in which a request to the Kubernetes API server fails. The client returns no partial
 * results: the caller gets the whole list of one snapshot, or one of these errors.
 */
export type KubeErrorCode =
  /** No kubeconfig was found, or it does not say how to reach a cluster. */
  | 'config'
  /** The client could not load the kubeconfig's credentials: plugin, token file or key file. */
  | 'credentials'
  /** 401: the server does not accept this client's credentials. */
  | 'unauthorized'
  /** 403: the server accepts the credentials but denies the request. */
  | 'forbidden'
  /** The client does not trust the server's certificate, or the server refused the client's. */
  | 'tls'
  /** On every attempt, the connection failed or broke before the response was complete. */
  | 'unreachable'
  /** The server answered 429 or 5xx on every attempt. */
  | 'unavailable'
  /** 410 on every attempt: the server dropped the snapshot before the client had read all of it. */
  | 'expired'
  /** The deadline for the whole operation passed. */
  | 'timeout'
  /** The caller's signal aborted the operation. */
  | 'cancelled'
  /** A redirect, or another status that the client does not expect here. */
  | 'refused'
  /** The response violates the Kubernetes API: incomplete, contradictory, or of another kind. */
  | 'malformed';

export interface KubeErrorOptions {
  readonly remedy?: string;
  readonly cause?: unknown;
  /** The HTTP status, if the server sent one. */
  readonly status?: number;
  /** How long the server wants the client to wait before the next attempt, if it says so. */
  readonly retryAfterMs?: number | undefined;
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
  timeout:
    'Look at the load of the API server (`kubectl get --raw /readyz`), or wait longer: --request-timeout 60s.',
  cancelled: 'Run it again.',
  refused:
    'Check that the server address in the kubeconfig is the API server itself, and not something in front of it.',
  malformed:
    'Nothing was concluded from this answer. Check what answers at this address: `kubectl get --raw /version`.',
};

/** The message names the server and its response. `remedy` is the operator's next step. */
export class KubeError extends Error {
  readonly code: KubeErrorCode;
  readonly remedy: string;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: KubeErrorCode, message: string, options: KubeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'KubeError';
    this.code = code;
    this.remedy = options.remedy ?? REMEDIES[code];
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Returns the documented default remedy of a code, for docs/errors.md and its test. */
export function remedyOf(code: KubeErrorCode): string {
  return REMEDIES[code];
}

export const KUBE_ERROR_CODES = Object.keys(REMEDIES) as readonly KubeErrorCode[];

/** Returns the text of a caught value, for the end of a message. */
export function reasonOf(error: unknown): string {
  return messageOf(error);
}
