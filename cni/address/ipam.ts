import { allocate, lookup } from '../../ipam/allocate/allocate.ts';
import type { Allocation } from '../../ipam/allocate/allocation.ts';
import { sameAddress, type Address } from '../../ipam/model/address.ts';
import type { Owner } from '../../ipam/model/attachment.ts';
import { IpamError, messageOf } from '../../ipam/model/errors.ts';
import type { Facts, FactSource } from '../../ipam/model/rule.ts';
import { findSuperseded, type RangedAllocation } from '../../ipam/node/allocations.ts';
import { isOtherMachine } from '../../ipam/node/name-owner.ts';
import { release } from '../../ipam/release/release.ts';
import type { UndoStack } from '../attach/undo.ts';
import { deferTeardown } from '../deferred/defer.ts';
import { withIpamAt } from '../platform/connections.ts';
import { addressesOf } from '../platform/node-records.ts';
import type { OpenIpam, Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import { OUR_IPAM } from '../protocol/config-schema.ts';
import { CniError } from '../protocol/errors.ts';
import { grantOf, type Grant } from '../protocol/grant.ts';
import { familiesFor, requestedAddresses } from '../protocol/requested.ts';
import { freeSuperseded } from '../reconcile/superseded.ts';

/** Returns the attachment of a call as the owner of addresses. */
export function ownerOf(call: Call, platform: Platform): Owner {
  const { containerId, ifname, args } = call.request;
  const { podNamespace, podName, podUid } = args;
  return {
    containerId,
    ifname,
    network: call.config.name,
    bootId: platform.bootId,
    ...(podNamespace !== undefined && { podNamespace }),
    ...(podName !== undefined && { podName }),
    ...(podUid !== undefined && { podUid }),
  };
}

/** Runs the work with the call's IPAM, and closes the IPAM afterwards. */
export function withIpam<T>(
  call: Call,
  platform: Platform,
  work: (ipam: OpenIpam) => Promise<T>,
): Promise<T> {
  return withIpamAt(platform, call.settings.etcd, work);
}

/**
 * Gets the attachment's addresses from our IPAM, and registers how to release them.
 * @param chosen called with a tentative grant before the write to etcd, if all of its addresses are
 *   new and the ADD is no repeated one; the final grant may differ, or the allocation may fail
 * @throws CniError 7 when the configuration has no key 'ipam'
 */
export async function grantAddresses(
  call: Call,
  platform: Platform,
  undo: UndoStack,
  chosen: (grant: Grant) => void,
): Promise<Grant> {
  if (call.config.ipamType !== undefined) return await grantOwn(call, platform, undo, chosen);
  throw new CniError(
    'invalid-config',
    `network configuration: key 'ipam' is missing: expected { "type": "${OUR_IPAM}" }`,
  );
}

export async function grantOwn(
  call: Call,
  platform: Platform,
  undo: UndoStack,
  chosen: (grant: Grant) => void = () => undefined,
): Promise<Grant> {
  const requested = requestedAddresses(call);
  const families = familiesFor(call, requested);
  const record = platform.openState(call.settings.stateDir).readAttachment(call.request);
  const known = addressesOf(record);
  let older: readonly RangedAllocation[] = [];
  return await withIpam(call, platform, async (ipam) => {
    try {
      const request = {
        ask: (sources: readonly FactSource[]) => askKubernetes(call, platform, sources),
        node: call.settings.node,
        owner: ownerOf(call, platform),
        families,
        ...(requested.length > 0 && { requested }),
        ...(known && { known }),
        ...(call.config.ourIpam?.ranges && { ranges: call.config.ourIpam.ranges }),
      };
      const allocations = await allocate(
        ipam,
        request,
        (tentative) => {
          // A repeated ADD waits for the final grant: a cache that does not know of the earlier ADD
          // brings other addresses, and setting up for them would take away the interface that the
          // pod uses.
          if (!record && tentative.every((allocation) => allocation.fresh)) chosen(grantOf(tentative));
        },
        (held) => {
          older = findSuperseded(held, request.owner);
        },
      );
      const fresh = allocations.filter((allocation) => allocation.fresh);
      if (fresh.length > 0) undo.push('allocated addresses', () => giveBack(call, platform, fresh, !record));
      return grantOf(allocations);
    } catch (error) {
      // When every range is full, or a kept address is an earlier container's, the superseded
      // addresses are freed all the same: the runtime's next try finds them. With etcd unreachable
      // nothing can be freed.
      if (!(error instanceof IpamError) || !['exhausted', 'still-used'].includes(error.code)) older = [];
      // etcd may have committed the transaction: a deferred teardown releases what it allocated. It
      // would release all that a running attachment has, too: there the DEL does it.
      if (error instanceof IpamError && error.uncertain && !record) deferTeardown(call, platform, false);
      throw error;
    } finally {
      if (older.length > 0) await freeSuperseded(call, platform, older);
    }
  });
}

function askKubernetes(call: Call, platform: Platform, sources: readonly FactSource[]): Promise<Facts> {
  const { podNamespace: namespace = '', podName: name = '', podUid: uid } = call.request.args;
  return platform.podFacts(call.settings.kubeconfig, { namespace, name, uid }, sources);
}

/**
 * Releases these allocations only. On failure it defers the release and throws the error.
 * @param defers false where the attachment runs with other addresses, which a deferred teardown
 *   would release too: it keeps these until its DEL
 */
async function giveBack(
  call: Call,
  platform: Platform,
  allocations: readonly Allocation[],
  defers: boolean,
): Promise<void> {
  const { node } = call.settings;
  try {
    await withIpam(call, platform, (ipam) => release(ipam, { node, allocations, cause: { why: 'undo' } }));
  } catch (error) {
    if (!defers) {
      const { containerId, ifname } = call.request;
      const reason = messageOf(error);
      platform.log.warn('addresses of a failed ADD stay until the DEL', { containerId, ifname, reason });
      return;
    }
    deferTeardown(call, platform, false);
    throw error;
  }
}

/**
 * Releases an address of the attachment that another host uses. IPAM does not allocate it for an
 * hour.
 * @throws IpamError
 */
export function setAside(call: Call, platform: Platform, address: Address, mac: string): Promise<void> {
  const { containerId, ifname } = call.request;
  return withIpam(call, platform, async (ipam) => {
    const { node } = call.settings;
    const held = await lookup(ipam, node, { containerId, ifname });
    const allocations = held.filter((each) => sameAddress(each.address, address));
    await release(ipam, { node, allocations, cause: { why: 'conflict', conflictMac: mac } });
  });
}

/**
 * Releases the attachment's addresses in our IPAM. Where the node's name belongs to another machine
 * and this one has no trace of the attachment, its ADD was refused and there is nothing to release.
 * @throws IpamError
 */
export async function releaseOwn(
  call: Call,
  platform: Platform,
  allocatedUntil = Infinity,
): Promise<readonly string[]> {
  const { containerId, ifname } = call.request;
  const state = platform.openState(call.settings.stateDir);
  const record = state.readAttachment(call.request);
  const recorded = addressesOf(record);
  const pending = recorded ? undefined : state.readPending(call.request);
  const known = recorded ?? addressesOf(pending);
  // The transaction of an ADD that got no answer may still be on its way, or one that writes back
  // what etcd had forgotten.
  const fencing = known !== undefined || pending !== undefined;
  try {
    return await withIpam(call, platform, (ipam) =>
      release(ipam, {
        node: call.settings.node,
        attachment: { containerId, ifname },
        ...(known && { addresses: known }),
        allocatedUntil,
        fencing,
        cause: { why: 'del' },
      }),
    );
  } catch (error) {
    if (isOtherMachine(error) && !record && !pending) return [];
    throw error;
  }
}

/** Returns the attachment's addresses as a grant, or undefined when it has none. */
export function lookupOwn(call: Call, platform: Platform): Promise<Grant | undefined> {
  const { containerId, ifname } = call.request;
  return withIpam(call, platform, async (ipam) => {
    const found = await lookup(ipam, call.settings.node, { containerId, ifname });
    return found.length === 0 ? undefined : grantOf(found);
  });
}
