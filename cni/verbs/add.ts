import { isDeepStrictEqual } from 'node:util';
import { formatAddress } from '../../ipam/model/address.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { grantAddresses } from '../address/ipam.ts';
import { InterfaceSetup, type PodLink } from '../attach/interface-setup.ts';
import { makePlan, mtuOf } from '../attach/plan.ts';
import { settle } from '../attach/port-attach.ts';
import { settleAll } from '../attach/settle-all.ts';
import { findStanding, makePortAgain } from '../attach/standing.ts';
import { AddUndo, type UndoStack } from '../attach/undo.ts';
import { deferTeardown } from '../deferred/defer.ts';
import { finishOwnDeferred, finishDeferred } from '../deferred/deferred.ts';
import type { Kernel, Namespace, Platform } from '../platform/platform.ts';
import { stepsOf } from '../platform/steps.ts';
import { delegateOf, logFieldsOf, type Call } from '../protocol/call.ts';
import { CniError } from '../protocol/errors.ts';
import type { Grant } from '../protocol/grant.ts';
import { limitsOf } from '../protocol/limits.ts';
import { requestedMac, wantedFamilies } from '../protocol/requested.ts';
import type { CniResult } from '../protocol/result.ts';
import { attachDelegated } from './add-delegated.ts';
import { lookAtBridge } from './bridge-look.ts';
import { announceRest, probe, resultOf } from './finish-add.ts';

/** Time that a failed ADD has for its undo whatever is left of its own, in milliseconds. */
export const UNDO_WITHIN_MS = 5_000;

/**
 * ADD (CNI SPEC section 4): allocates the addresses, then sets up record, link, port and the pod's
 * end. When a step fails, ADD undoes every step before it (rule 2). A repeated ADD gets the same
 * addresses (rule 3).
 */
export async function add(call: Call, platform: Platform): Promise<CniResult> {
  limitsOf(call);
  requestedMac(call);
  const kernel = await platform.openKernel();
  const namespace = openPodNamespace(kernel, call.request.netns);
  const undo = new AddUndo(platform.log);
  try {
    const type = delegateOf(call);
    if (type === undefined) return await attach(call, platform, kernel, namespace, undo);
    return await attachDelegated(call, type, { platform, kernel, namespace, undo });
  } catch (error) {
    platform.deadlines.extend(UNDO_WITHIN_MS);
    if (!(await undo.revert())) leaveForLater(call, platform);
    throw error;
  } finally {
    namespace.close();
  }
}

/** Leaves what could not be undone to a later call. */
function leaveForLater(call: Call, platform: Platform): void {
  try {
    deferTeardown(call, platform, true);
  } catch (error) {
    const { containerId, ifname } = call.request;
    const reason = messageOf(error);
    platform.log.error('what could not be undone cannot be put off either', { containerId, ifname, reason });
  }
}

/** @throws CniError 8 for the host's own namespace; NamespaceError */
function openPodNamespace(kernel: Kernel, path: string): Namespace {
  const namespace = kernel.openNamespace(path);
  if (!kernel.isHostNamespace(namespace)) return namespace;
  namespace.close();
  throw new CniError(
    'invalid-namespace',
    `CNI_NETNS ${path} is the host's own namespace: expected the pod's`,
  );
}

async function attach(
  call: Call,
  platform: Platform,
  kernel: Kernel,
  namespace: Namespace,
  undo: AddUndo,
): Promise<CniResult> {
  const step = stepsOf(platform.onStep, 'ADD');
  const setup = new InterfaceSetup(call, platform, kernel, namespace, undo.setup);

  await finishOwnDeferred(call, platform);
  await finishDeferred(call, platform);
  const { bridge, forwarding } = lookAtBridge(call, platform);
  // An MTU that is too small for IPv6 must cost no address.
  const families = wantedFamilies(call);
  if (families.includes(6)) mtuOf(call, await bridge, families);
  // ADD sets up the veth for the tentative grant while etcd writes it. The pod's end gets its
  // address only after the write.
  let early: Promise<PodLink> | undefined;
  const granting = step('allocate', () =>
    grantAddresses(call, platform, undo.addresses, (tentative) => {
      early ??= bridge.then((info) => setup.createPodLink(makePlan(call, tentative, info)));
      // A rejection must not count as unhandled before settleAll below awaits it.
      early.catch(() => undefined);
    }),
  );
  const [grant, info, laid] = await settleAll(
    granting,
    bridge,
    granting.then(
      () => early,
      () => early,
    ),
    forwarding,
  );
  const kept = laid && (await keepOrUndo(call, platform, laid, grant, undo.setup));
  const plan = kept?.plan ?? makePlan(call, grant, info);
  const standing = kept ? undefined : await findStanding(call, platform, kernel, namespace, plan);
  if (standing) {
    // A record of an earlier version does not name the addresses.
    await setup.remember(plan);
    if (!standing.hasPort) await step('attach-port', () => makePortAgain(call, platform, plan));
    // The earlier ADD may have been killed before it announced the addresses.
    announceRest(call, platform, plan, 0);
    return resultOf(call, { ...plan, grant: standing.grant }, standing);
  }
  const podLink = kept ?? (await setup.createPodLink(plan));
  const connected = await setup.connect(podLink, () => probe(call, platform, kernel, namespace, plan));
  // The kernel has sent the first announcement.
  announceRest(call, platform, plan, 1);
  platform.log.info('attached', { ...logFieldsOf(call), ips: plan.addresses.map(formatAddress) });
  return resultOf(call, plan, connected);
}

/**
 * Returns the veth if it was set up for the granted addresses. Otherwise removes it and returns
 * undefined.
 * @throws CniError 5 when the veth or its port cannot be removed
 */
async function keepOrUndo(
  call: Call,
  platform: Platform,
  laid: PodLink,
  grant: Grant,
  undo: UndoStack,
): Promise<PodLink | undefined> {
  if (isDeepStrictEqual(laid.plan.grant, grant)) return laid;
  if (!(await undo.revert()))
    throw new CniError('io-failure', `the link and port of an address that was not given cannot be removed`);
  await settle(platform, call.settings);
  return undefined;
}
