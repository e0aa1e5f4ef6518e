import type { AuditedAllocation } from '../../ipam/audit/judge.ts';
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
}

/**
 * Returns the entry as one line of JSON.
 * @param now milliseconds since 1970
 */
export function logLine({ address, outcome, reason, allocation }: LogEntry, now: number): string {
  const owner = allocation?.slot.owner;
  const judged = 'reason' in outcome ? outcome.reason : undefined;
  const line = {
    time: new Date(now).toISOString(),
    ip: formatAddress(address),
    outcome: outcome.kind,
    reason: judged ?? reason ?? null,
    range: allocation?.range ?? null,
    node: allocation?.node ?? null,
    containerId: owner?.containerId ?? null,
    ifname: owner?.ifname ?? null,
    network: owner?.network ?? null,
    pod: podJson(owner),
    allocatedAt: allocation ? new Date(allocation.slot.allocatedAt).toISOString() : null,
    sequence: allocation?.slot.sequence ?? null,
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
