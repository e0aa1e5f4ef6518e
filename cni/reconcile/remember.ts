import { formatAddress } from '../../ipam/model/address.ts';
import { recordedPort } from '../attach/recorded-port.ts';
import { isOurInterface, type AttachmentRecord } from '../platform/node-records.ts';
import type { Platform } from '../platform/platform.ts';
import type { OwnPlace } from './places.ts';
import type { Known } from './survey.ts';

/**
 * Completes the records of attachments that an earlier version made. It did not keep which
 * addresses an attachment uses, nor what its ADD set of the port. From then on the node knows them
 * without etcd and Open vSwitch.
 * @throws CniError 5
 */
export function rememberLiving(platform: Platform, own: OwnPlace, known: readonly Known[]): void {
  for (const each of known) {
    if (each.link !== 'carrier' || !each.record) continue;
    if (each.held.length > 0 && !each.record.namesAddresses)
      underLock(platform, own, each, (record) => rememberAddresses(platform, own, each, record));
    if (each.port === 'present' && !each.portFault && !each.namesPort)
      underLock(platform, own, each, (record) => rememberPort(platform, own, each, record));
  }
}

/** Runs the work with the record as it is now, unless a call works on the attachment. */
function underLock(
  platform: Platform,
  { stateDir }: OwnPlace,
  each: Known,
  work: (record: AttachmentRecord) => void,
): void {
  const unlock = platform.tryLock(stateDir, each);
  if (!unlock) return;
  try {
    const record = platform.openState(stateDir).readAttachment(each);
    if (record) work(record);
  } finally {
    unlock();
  }
}

function rememberAddresses(
  platform: Platform,
  { stateDir }: OwnPlace,
  each: Known,
  record: AttachmentRecord,
): void {
  if (record.allocations) return;
  const state = platform.openState(stateDir);
  const { podNamespace, podName, podUid } = each.held[0]?.slot.owner ?? {};
  const complete = {
    ...record,
    allocations: each.held.map(({ address, range, rule, slot }) => ({
      address: `${formatAddress(address)}/${range.cidr.prefixLength}`,
      range: range.name,
      ...(rule !== undefined && { rule }),
      allocatedAt: slot.allocatedAt,
    })),
    ...(podNamespace !== undefined && { podNamespace }),
    ...(podName !== undefined && { podName }),
    ...(podUid !== undefined && { podUid }),
  };
  state.saveAttachment(complete);
  state.carry(complete);
}

function rememberPort(
  platform: Platform,
  { stateDir }: OwnPlace,
  { found }: Known,
  record: AttachmentRecord,
): void {
  if (record.port || !found || !isOurInterface(record)) return;
  const port = recordedPort({ ...found, ofportRequest: undefined });
  platform.openState(stateDir).saveAttachment({ ...record, port });
}
