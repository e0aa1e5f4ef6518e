import type { AuditedAllocation } from '../../ipam/audit/judge.ts';
import type { KeptAddress } from '../../ipam/audit/kept-pods.ts';
import { formatAddress, type Address } from '../../ipam/model/address.ts';
import type { Context } from '../context/context.ts';
import { podJson } from '../render/pod.ts';
import type { FreeOutcome } from './free.ts';

/** An address that was to be released. */
export interface LogEntry {
  readonly address: Address;
  readonly outcome: FreeOutcome;
  /** Why it was to be released. Absent when the operator named the address. */
  readonly reason?: string | undefined;
  /** The allocation as etcd had it before. Absent when there was none. */
  readonly allocation?: AuditedAllocation | undefined;
  /** The kept address as etcd had it before, where it was no allocation. */
  readonly kept?: KeptAddress;
}

/**
 * Returns the entry as one line of JSON.
 * @param now milliseconds since 1970
 */
export function logLine(entry: LogEntry, now: number): string {
  const { address, outcome, reason, allocation, kept } = entry;
  const owner = allocation?.slot.owner;
  const of = allocation ?? kept;
  const judged = 'reason' in outcome ? outcome.reason : undefined;
  const line = {
    time: new Date(now).toISOString(),
    ip: formatAddress(address),
    outcome: outcome.kind,
    reason: judged ?? reason ?? null,
    range: of?.range ?? null,
    node: of?.node ?? null,
    containerId: owner?.containerId ?? null,
    ifname: owner?.ifname ?? kept?.slot.pod.ifname ?? null,
    network: owner?.network ?? null,
    pod: podJson(owner ?? (kept && { podNamespace: kept.slot.pod.namespace, podName: kept.slot.pod.name })),
    allocatedAt: allocation ? new Date(allocation.slot.allocatedAt).toISOString() : null,
    sequence: of?.slot.sequence ?? null,
    ...(kept && { rule: kept.slot.keep.rule, keptAt: new Date(kept.slot.keptAt).toISOString() }),
  };
  return `${JSON.stringify(line)}\n`;
}

/**
 * Returns a function that appends to the file of `--log`, and does nothing without one.
 * @throws CommandError when the file cannot be written
 */
export function releaseLog({ world }: Context, file: string | undefined): (entry: LogEntry) => void {
  if (file === undefined) return () => undefined;
  world.checkTarget(file);
  return (entry) => world.appendFile(file, logLine(entry, world.now()));
}
