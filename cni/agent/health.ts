/** The servers that the agent's calls depend on. An etcd that is full serves reads only. */
export type ServerKind = 'etcd' | 'etcd-writes' | 'ovsdb' | 'ovs-vswitchd';

/** The outcome of the last use of a server. */
export interface ServerUse {
  readonly server: ServerKind;
  /** The endpoints of etcd, or the remote of OVSDB. */
  readonly at: string;
  /** Milliseconds since 1970. */
  readonly usedAt: number;
  /** Absent when the last use succeeded. */
  readonly failure?: {
    readonly reason: string;
    /** Time of the first failure since the last success, in milliseconds since 1970. */
    readonly since: number;
  };
}

export interface HealthReport {
  readonly ok: boolean;
  /** One text for each server that fails. */
  readonly reasons: readonly string[];
  readonly servers: readonly ServerReport[];
}

export interface ServerReport {
  readonly server: ServerKind;
  readonly at: string;
  readonly ok: boolean;
  /** RFC 3339. */
  readonly usedAt: string;
}

/**
 * Returns the record of a server after one more use.
 * @param reason why the use failed; undefined when it succeeded
 */
export function nextUse(
  before: ServerUse | undefined,
  { server, at }: Pick<ServerUse, 'server' | 'at'>,
  now: number,
  reason: string | undefined,
): ServerUse {
  if (reason === undefined) return { server, at, usedAt: now };
  return { server, at, usedAt: now, failure: { reason, since: before?.failure?.since ?? now } };
}

/**
 * Reports the agent healthy unless the last use of some server failed. A server that no call has
 * used counts as healthy.
 */
export function judge(uses: readonly ServerUse[]): HealthReport {
  const reasons = uses.flatMap(({ server, at, failure }) =>
    failure ? [`${server} at ${at} fails since ${timeOf(failure.since)}: ${failure.reason}`] : [],
  );
  const servers = uses.map(({ server, at, usedAt, failure }) => ({
    server,
    at,
    ok: failure === undefined,
    usedAt: timeOf(usedAt),
  }));
  return { ok: reasons.length === 0, reasons, servers };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
