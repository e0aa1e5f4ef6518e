import { messageOf } from '../../ipam/model/errors.ts';
import { deferTeardown } from '../deferred/defer.ts';
import type { Platform, Unlock } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import { OUR_IPAM } from '../protocol/config-schema.ts';
import { toCniError } from '../protocol/errors.ts';
import type { Plugin } from '../protocol/invocation.ts';

/**
 * Longest wait for the turn of a DEL that a hung agent did not answer, in milliseconds. The agent
 * may hold the attachment for as long as it lives, and the pod's end has waited already.
 */
const BESIDE_HUNG_AGENT_MS = 2_000;

/** `deferred`: the call is done, because all of it was deferred. */
export type Turn = { readonly unlock: Unlock } | 'deferred';

const none: Turn = { unlock: () => undefined };

/**
 * Locks the attachment of an ADD or DEL. DEL continues without a lock when the folder of locks
 * cannot be used: the end of a pod must not wait. GC locks each attachment that it removes; CHECK
 * and STATUS only read.
 * @param agentHangs whether an agent that did not answer may hold the attachment
 * @throws CniError 11 when another call holds it too long; 5
 */
export async function takeTurn(
  call: Call,
  platform: Platform,
  plugin: Plugin,
  agentHangs: boolean,
): Promise<Turn> {
  const { request, settings } = call;
  if (request.verb === 'ADD') return { unlock: await platform.lock(settings.stateDir, request) };
  if (request.verb !== 'DEL') return none;
  const patienceMs = agentHangs ? BESIDE_HUNG_AGENT_MS : undefined;
  try {
    return { unlock: await platform.lock(settings.stateDir, request, patienceMs) };
  } catch (error) {
    const { kind, message } = toCniError(error);
    if (agentHangs && kind === 'try-again-later') {
      deferDel(call, platform, plugin, error);
      return 'deferred';
    }
    if (kind !== 'io-failure') throw error;
    platform.log.warn('DEL goes on without a lock', { reason: message });
    return none;
  }
}

/**
 * Defers a whole DEL that gets no turn, because an agent that hangs holds the attachment. Without
 * the turn nothing else is safe: the agent may go on at any time, with an ADD whose address must
 * not be free then. The teardown is finished when the attachment can be locked.
 * @throws the reason for which there is no turn, beside another IPAM plugin: only a DEL reaches it
 */
function deferDel(call: Call, platform: Platform, plugin: Plugin, reason: unknown): void {
  const { ipamType } = call.config;
  if (ipamType !== undefined && ipamType !== OUR_IPAM) throw reason;
  deferTeardown(call, platform, plugin === 'cellnet');
  const { containerId, ifname } = call.request;
  platform.log.warn('the agent hangs and holds the attachment: all of the DEL is deferred', {
    containerId,
    ifname,
    reason: messageOf(reason),
  });
}
