import { formatAddress } from '../../ipam/model/address.ts';
import type { CarriedAddress } from '../../ipam/node/local-node.ts';
import type { WriteBackResult } from '../../ipam/node/observer.ts';
import type { Log } from './platform.ts';

const WALK = 'docs/operations.md, "etcd has forgotten"';

/** Logs what became of living attachments that etcd had forgotten. */
export function logWriteBack(log: Log, result: WriteBackResult): void {
  const { reason, restored, setAside, conflicts, outside } = result;
  const ips = (carried: readonly CarriedAddress[]): string[] =>
    carried.map(({ address }) => formatAddress(address));
  if (reason !== undefined)
    log.error('etcd was set back: it is no later state of what this node has seen', { reason, see: WALK });
  if (restored.length > 0)
    log.warn('wrote back addresses that pods use and etcd had forgotten', { ips: ips(restored) });
  if (setAside.length > 0)
    log.warn('another node holds the block of addresses that pods use: kept from being given out', {
      ips: ips(setAside),
    });
  for (const { address, owner, by } of conflicts)
    log.error('an address has two owners: make one of the pods again', {
      ip: formatAddress(address),
      containerId: owner.containerId,
      pod: `${owner.podNamespace ?? ''}/${owner.podName ?? ''}`,
      by,
    });
  if (outside.length > 0)
    log.error('pods use addresses of no range in etcd: it has lost a range', {
      ips: ips(outside),
      see: WALK,
    });
}
