import { KubeError } from './errors.ts';

/** meta/v1 Status, which an API server returns in place of an object. */
export interface Status {
  readonly reason: string | undefined;
  readonly message: string | undefined;
  readonly details: { readonly name: unknown; readonly kind: unknown; readonly retryAfterSeconds: unknown };
}

/** The verb and resource of a request, in RBAC terms. */
export interface Purpose {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'delete';
  readonly resource:
    | 'pods'
    | 'pods/log'
    | 'pods/exec'
    | 'nodes'
    | 'namespaces'
    | 'services'
    | 'endpointslices'
    | 'daemonsets'
    | 'statefulsets';
  /** Absent: at cluster scope. */
  readonly namespace?: string;
  /** What the operator can do where the user may not; default: by the resource. */
  readonly grant?: string;
}

/** Returns undefined when the body is no Status: an API server may not have sent the response. */
export function parseStatus(body: string): Status | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined;
  }
  return statusOf(value);
}

/** Returns undefined when the value is no Status. */
export function statusOf(value: unknown): Status | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { kind, reason, message, details } = value as Record<string, unknown>;
  if (kind !== 'Status') return undefined;
  const fields = (typeof details === 'object' && details !== null ? details : {}) as Record<string, unknown>;
  return {
    reason: typeof reason === 'string' ? reason : undefined,
    message: typeof message === 'string' ? message : undefined,
    details: { name: fields['name'], kind: fields['kind'], retryAfterSeconds: fields['retryAfterSeconds'] },
  };
}

/**
 * Returns true only when the API server itself reports that this very object does not exist. A 404
 * for a wrong path, or from a proxy or a load balancer, is no evidence of that.
 */
export function saysNotFound(status: Status | undefined, resource: string, name: string): boolean {
  return status?.reason === 'NotFound' && status.details.kind === resource && status.details.name === name;
}

const isWatched = ({ resource }: Purpose): boolean =>
  resource === 'services' || resource === 'endpointslices';

const GROUPS: Partial<Record<Purpose['resource'], string>> = {
  endpointslices: 'API group discovery.k8s.io',
  daemonsets: 'API group apps',
  statefulsets: 'API group apps',
};

const groupOf = ({ resource }: Purpose): string => GROUPS[resource] ?? 'core API group';

const scopeOf = ({ namespace }: Purpose): string =>
  namespace === undefined ? 'at cluster scope' : `in the namespace ${namespace}`;

const GRANT_WATCHES =
  'Grant it: `kubectl create clusterrole cellnet-services --verb=list,watch --resource=services,endpointslices.discovery.k8s.io`, and bind it to this user with `kubectl create clusterrolebinding`.';

const OTHER_THAN_RIGHTS =
  'It is no missing right: admission, a quota or the state of the object forbids it, as the message tells.';

/** Whether a 403 comes from authorization. Admission answers 403, too, and names no verb. */
const isMissingRight = (status: Status | undefined): boolean =>
  status?.message === undefined || /\bcannot \S+ resource\b/.test(status.message);

/** Returns the typed error for a response other than 200. */
export function statusError(
  server: string,
  purpose: Purpose,
  code: number,
  status: Status | undefined,
  location?: string,
): KubeError {
  const said = status?.message === undefined ? 'without a Status to explain it' : `"${status.message}"`;
  const asked = `${purpose.verb} ${purpose.resource}`;
  const grant = purpose.grant ?? (isWatched(purpose) ? GRANT_WATCHES : undefined);
  if (code === 401) {
    return new KubeError('unauthorized', `${server} does not accept our credentials: 401, ${said}`, {
      status: code,
    });
  }
  if (code === 403 && !isMissingRight(status)) {
    return new KubeError('forbidden', `${server} forbids to ${asked}: 403, ${said}`, {
      ...{ status: code, remedy: OTHER_THAN_RIGHTS },
    });
  }
  if (code === 403) {
    return new KubeError(
      'forbidden',
      `${server} forbids it: the verb "${purpose.verb}" on the resource "${purpose.resource}" of the ${groupOf(purpose)}, ${scopeOf(purpose)}, is needed; 403, ${said}`,
      { status: code, ...(grant !== undefined && { remedy: grant }) },
    );
  }
  if (code === 410) {
    return new KubeError('expired', `${server} no longer has the snapshot of ${asked}: 410, ${said}`, {
      status: code,
    });
  }
  if (code === 429 || code >= 500) {
    return new KubeError('unavailable', `${server} could not ${asked}: ${code}, ${said}`, { status: code });
  }
  if (code >= 300 && code < 400) {
    const target = location === undefined ? 'elsewhere' : `to ${location}`;
    return new KubeError(
      'refused',
      `${server} redirects ${asked} ${target}: credentials are not carried there`,
      { status: code },
    );
  }
  return new KubeError('refused', `${server} answered ${asked} with ${code}, ${said}`, { status: code });
}
