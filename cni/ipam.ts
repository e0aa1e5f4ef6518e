import { sameAddress, type Address } from '../ipam/address.ts';
import { allocate, lookup, release, type Allocation } from '../ipam/allocator.ts';
import type { Attachment, Owner } from '../ipam/block.ts';
import { IpamError } from '../ipam/errors.ts';
import { releaseAddress } from '../ipam/inventory.ts';
import { findSuperseded, type SeenAllocation } from '../ipam/release-exact.ts';
import type { Call } from './call.ts';
import { OUR_IPAM } from './config.ts';
import { CniError } from './errors.ts';
import { grantOf, grantOfDelegate, type Grant } from './grant.ts';
import type { OpenIpam, Parts } from './parts.ts';
import { recordOf } from './record.ts';
import { freeSuperseded } from './superseded.ts';
import type { UndoStack } from './undo.ts';
import { familiesFor, wishedAddresses } from './wishes.ts';
import { withIpamAt } from './with-ipam.ts';

/** The attachment of a call as the owner of addresses. */
export function ownerOf(call: Call, parts: Parts): Owner {
  const { containerId, ifname, args } = call.request;
  const { podNamespace, podName, podUid } = args;
  return {
    containerId,
    ifname,
    network: call.config.name,
    bootId: parts.bootId,
    ...(podNamespace !== undefined && { podNamespace }),
    ...(podName !== undefined && { podName }),
    ...(podUid !== undefined && { podUid }),
  };
}

/** Does something with the call's IPAM, and closes it. */
export function withIpam<T>(call: Call, parts: Parts, work: (ipam: OpenIpam) => Promise<T>): Promise<T> {
  return withIpamAt(parts, call.settings.etcd, work);
}

/**
 * Gets the attachment's addresses from the configured IPAM, and registers how to give them back.
 * Ours runs in this process; any other by delegation (CNI SPEC section 4), where a failed ADD is followed by DEL.
 * @param chosen told, by our own IPAM, what is about to be written where all of it is new: it may come otherwise, or not at all
 */
export async function grantAddresses(
  call: Call,
  parts: Parts,
  undo: UndoStack,
  chosen: (grant: Grant) => void,
): Promise<Grant> {
  const { ipamType } = call.config;
  if (ipamType === undefined) {
    throw new CniError(
      'invalid-config',
      `network configuration: key 'ipam' is missing: expected { "type": "${OUR_IPAM}" }`,
    );
  }
  if (ipamType === OUR_IPAM) return await grantOwn(call, parts, undo, chosen);
  const takeBack = (): void =>
    undo.push(`addresses of IPAM plugin '${ipamType}'`, () => delegate(call, parts, ipamType, 'DEL'));
  try {
    const grant = grantOfDelegate(ipamType, await delegate(call, parts, ipamType, 'ADD'));
    takeBack();
    return grant;
  } catch (error) {
    // One that is not installed was never executed.
    if (!(error instanceof CniError && error.kind === 'invalid-config')) takeBack();
    throw error;
  }
}

export async function grantOwn(
  call: Call,
  parts: Parts,
  undo: UndoStack,
  chosen: (grant: Grant) => void = () => undefined,
): Promise<Grant> {
  const wished = wishedAddresses(call);
  const families = familiesFor(call, wished);
  let older: readonly SeenAllocation[] = [];
  return await withIpam(call, parts, async (ipam) => {
    try {
      const request = {
        node: call.settings.node,
        owner: ownerOf(call, parts),
        families,
        ...(wished.length > 0 && { wished }),
        ...(call.config.ourIpam?.ranges && { ranges: call.config.ourIpam.ranges }),
      };
      const allocations = await allocate(
        ipam,
        request,
        (tentative) => {
          if (tentative.every((allocation) => allocation.fresh)) chosen(grantOf(tentative));
        },
        (held) => {
          older = findSuperseded(held, request.owner);
        },
      );
      const fresh = allocations.filter((allocation) => allocation.fresh);
      if (fresh.length > 0) undo.push('allocated addresses', () => giveBack(call, parts, fresh));
      return grantOf(allocations);
    } catch (error) {
      // Where all is full they are freed too: the runtime's next try finds them. With etcd away nothing can be.
      if (!(error instanceof IpamError) || error.code !== 'exhausted') older = [];
      // The transaction may have gone through unseen: what it gave is taken back later.
      if (error instanceof IpamError && error.uncertain) putOff(call, parts, false);
      throw error;
    } finally {
      if (older.length > 0) await freeSuperseded(call, parts, older);
    }
  });
}

/** Releases just these allocations; where etcd cannot be reached, later. */
async function giveBack(call: Call, parts: Parts, allocations: readonly Allocation[]): Promise<void> {
  const { containerId, ifname } = call.request;
  try {
    await withIpam(call, parts, async (ipam) => {
      for (const { address, slot } of allocations) {
        const expected = { containerId, ifname, sequence: slot.sequence };
        await releaseAddress(ipam, address, expected, { why: 'undo' });
      }
    });
  } catch (error) {
    putOff(call, parts, false);
    throw error;
  }
}

/** Takes an address from the attachment that a stranger uses, and keeps it back for an hour. @throws IpamError */
export function setAside(call: Call, parts: Parts, address: Address, mac: string): Promise<void> {
  const { containerId, ifname } = call.request;
  return withIpam(call, parts, async (ipam) => {
    const held = await lookup(ipam, call.settings.node, { containerId, ifname });
    const found = held.find((each) => sameAddress(each.address, address));
    if (!found) return;
    const expected = { containerId, ifname, sequence: found.slot.sequence };
    await releaseAddress(ipam, address, expected, { why: 'conflict', conflictMac: mac });
  });
}

/**
 * Writes durably that the attachment is still to be torn down (rule 4).
 * @param wire whether port and link are, beside the addresses
 * @throws CniError 5
 */
export function putOff(call: Call, parts: Parts, wire: boolean): void {
  const state = parts.openState(call.settings.stateDir);
  // By the later of both: the clock may have been set back since the ADD.
  const until = Math.max(parts.now(), state.readAttachment(call.request)?.createdAt ?? 0);
  state.savePending({ ...recordOf(call, parts), until, wire });
}

/** Releases what the attachment has in our IPAM. @throws IpamError */
export function releaseOwn(call: Call, parts: Parts, allocatedUntil = Infinity): Promise<readonly string[]> {
  const { containerId, ifname } = call.request;
  return withIpam(call, parts, (ipam) =>
    release(ipam, {
      node: call.settings.node,
      attachment: { containerId, ifname },
      allocatedUntil,
      cause: { why: 'del' },
    }),
  );
}

/** What the attachment has, told in the same shape as a grant; undefined: nothing. */
export function lookupOwn(call: Call, parts: Parts): Promise<Grant | undefined> {
  const { containerId, ifname } = call.request;
  return withIpam(call, parts, async (ipam) => {
    const found = await lookup(ipam, call.settings.node, { containerId, ifname });
    return found.length === 0 ? undefined : grantOf(found);
  });
}

/** DEL of another attachment than the call's, whose container is gone. */
export async function delegateDel(
  call: Call,
  parts: Parts,
  type: string,
  attachment: Attachment,
): Promise<void> {
  await parts.runDelegate({ type, path: call.request.path, verb: 'DEL', stdin: call.stdin, attachment });
}

/** A delegate gets our environment and the whole configuration. @throws CniError with the delegate's own code */
export function delegate(call: Call, parts: Parts, type: string, verb: string): Promise<string> {
  return parts.runDelegate({ type, path: call.request.path, verb, stdin: call.stdin });
}
