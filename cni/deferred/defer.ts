import { recordOf } from '../attach/attachment-record.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';

/**
 * Records durably that the attachment must still be torn down (rule 4).
 * @param withInterface whether to tear down port and link too, beside the addresses
 * @throws CniError 5 when the record cannot be written
 */
export function deferTeardown(call: Call, platform: Platform, withInterface: boolean): void {
  const state = platform.openState(call.settings.stateDir);
  // The later of both, because the clock may have been set back since the ADD.
  const record = state.readAttachment(call.request);
  const until = Math.max(platform.now(), record?.createdAt ?? 0);
  // A repeated DEL finds the record gone, and the first one's deferral.
  const { allocations } = record ?? state.readPending(call.request) ?? {};
  state.savePending({
    ...recordOf(call, platform),
    until,
    wire: withInterface,
    ...(allocations && { allocations }),
  });
}
