/** The servers on which the agent's calls rest. */
export type ServerKind = 'etcd' | 'ovsdb' | 'ovs-vswitchd';

/** How the last use of a server went. */
export interface ServerUse {
  readonly server: ServerKind;
  /** Its endpoints or remote. */
  readonly at: string;
  /** Milliseconds since 1970. */
  readonly usedAt: number;
  /** What has failed since it last succeeded; absent: it works. */
  readonly failure?: {
    readonly reason: string;
    /** When it failed for the first time since it last succeeded, in milliseconds since 1970. */
    readonly since: number;
  };
}

export interface HealthReport {
  readonly ok: boolean;
  /** One for each server that fails. */
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

/** How a use went, on top of what was known. @param reason why it failed; undefined: it succeeded */
export function nextUse(
  before: ServerUse | undefined,
  { server, at }: Pick<ServerUse, 'server' | 'at'>,
  now: number,
  reason: string | undefined,
): ServerUse {
  if (reason === undefined) return { server, at, usedAt: now };
  return { server, at, usedAt: now, failure: { reason, since: before?.failure?.since ?? now } };
}

/** Well as long as no server failed when it was last used; one that was never used counts as well. */
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
