import { formatAddress } from '../../ipam/model/address.ts';
import type { CarriedAddress } from '../../ipam/node/local-node.ts';
import type { WriteBackResult } from '../../ipam/node/observer.ts';
import type { Log } from './platform.ts';

const WALK = 'docs/operations/etcd-lost.md';

/**
 * Logs what became of living attachments that etcd had forgotten. What stays as it was the last
 * time is logged once.
 */
export class WriteBackLog {
  readonly #log: Log;
  #lastOpen = '';

  constructor(log: Log) {
    this.#log = log;
  }

  tell({ reason, restored, setAside, conflicts, outside }: WriteBackResult): void {
    if (reason !== undefined)
      this.#log.error('etcd was set back: it is no later state of what this node has seen', {
        reason,
        see: WALK,
      });
    if (restored.length > 0)
      this.#log.warn('wrote back addresses that pods use and etcd had forgotten', { ips: ipsOf(restored) });
    if (setAside.length > 0)
      this.#log.warn('another node holds the block of addresses that pods use: kept from being given out', {
        ips: ipsOf(setAside),
      });
    const open = [...conflicts, ...outside].map((each) => `${each.owner.containerId} ${each.range}`).join();
    if (open !== this.#lastOpen) this.#tellOpen(conflicts, outside);
    this.#lastOpen = open;
  }

  #tellOpen(conflicts: WriteBackResult['conflicts'], outside: readonly CarriedAddress[]): void {
    for (const { address, owner, by } of conflicts)
      this.#log.error('an address has two owners: make one of the pods again', {
        ip: formatAddress(address),
        containerId: owner.containerId,
        pod: `${owner.podNamespace ?? ''}/${owner.podName ?? ''}`,
        by,
      });
    if (outside.length > 0)
      this.#log.error('pods use addresses of no range in etcd: it has lost a range', {
        ips: ipsOf(outside),
        see: WALK,
      });
  }
}

const ipsOf = (carried: readonly CarriedAddress[]): string[] =>
  carried.map(({ address }) => formatAddress(address));
