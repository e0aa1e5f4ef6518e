import { recordOf } from '../attach/attachment-record.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';

/**
 * Writes durably that the attachment is still to be torn down (rule 4).
 * @param wire whether port and link are, beside the addresses
 * @throws CniError 5
 */
export function deferTeardown(call: Call, platform: Platform, wire: boolean): void {
  const state = platform.openState(call.settings.stateDir);
  // By the later of both: the clock may have been set back since the ADD.
  const until = Math.max(platform.now(), state.readAttachment(call.request)?.createdAt ?? 0);
  state.savePending({ ...recordOf(call, platform), until, wire });
}
