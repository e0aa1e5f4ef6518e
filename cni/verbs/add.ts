import { isDeepStrictEqual } from 'node:util';
import { formatAddress, parseAddress } from '../../ipam/model/address.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { grantAddresses, setAside } from '../address/ipam.ts';
import { compare } from '../attach/differences.ts';
import { isSound, InterfaceSetup, type PodLink, type CompletedInterface } from '../attach/interface-setup.ts';
import { attachLostPort } from '../attach/lost-port.ts';
import { makePlan, mtuOf, type Plan } from '../attach/plan.ts';
import { settle } from '../attach/port-attach.ts';
import { settleAll } from '../attach/settle-all.ts';
import { UndoStack } from '../attach/undo.ts';
import { deferTeardown } from '../deferred/defer.ts';
import { finishOwnDeferred, finishDeferred } from '../deferred/deferred.ts';
import type { Kernel, Log, Namespace, Platform } from '../platform/platform.ts';
import { stepsOf } from '../platform/steps.ts';
import type { Call } from '../protocol/call.ts';
import { OUR_IPAM } from '../protocol/config-schema.ts';
import { CniError } from '../protocol/errors.ts';
import type { Grant } from '../protocol/grant.ts';
import { limitsOf } from '../protocol/limits.ts';
import { requestedMac, wantedFamilies } from '../protocol/requested.ts';
import { extendResult, type CniResult } from '../protocol/result.ts';
import { lookAtBridge } from './bridge-look.ts';

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
  const undo = new Undo(platform.log);
  try {
    return await attach(call, platform, kernel, namespace, undo);
  } catch (error) {
    platform.deadlines.extend(UNDO_WITHIN_MS);
    if (!(await undo.revert())) leaveForLater(call, platform);
    throw error;
  } finally {
    namespace.close();
  }
}

/** Undoes an ADD. It removes link and port before it releases the addresses (rule 8). */
class Undo {
  readonly setup: UndoStack;
  readonly addresses: UndoStack;

  constructor(log: Log) {
    const told = (what: string, error: unknown): void =>
      log.error('undo failed', { what, reason: messageOf(error) });
    this.setup = new UndoStack(told);
    this.addresses = new UndoStack(told);
  }

  async revert(): Promise<boolean> {
    return (await this.setup.revert()) && (await this.addresses.revert());
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
  undo: Undo,
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
    return resultOf(call, plan, standing);
  }
  const podLink = kept ?? (await setup.createPodLink(plan));
  const connected = await setup.connect(podLink, () => probe(call, platform, kernel, namespace, plan));
  // The kernel has sent the first announcement.
  announceRest(call, platform, plan, 1);
  platform.log.info('attached', { ...logFields(call), ips: plan.addresses.map(formatAddress) });
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

/** The interface that an earlier ADD of the attachment set up. */
interface StandingInterface extends CompletedInterface {
  /** False when somebody removed its port. */
  readonly hasPort: boolean;
}

/**
 * Returns the interface that an earlier ADD of this attachment set up, or undefined when it is
 * absent or differs from the plan. Only its port may be missing: a running pod must not lose its
 * interface, with its connections, for that.
 */
async function findStanding(
  call: Call,
  platform: Platform,
  kernel: Kernel,
  namespace: Namespace,
  plan: Plan,
): Promise<StandingInterface | undefined> {
  const link = await kernel.hostLink(plan.veth.hostName);
  if (link?.alias !== plan.veth.alias) return undefined;
  const { inPod, onSwitch, hasPort, routes } = await compare(platform, kernel, namespace, call, plan);
  if (inPod.length > 0) return undefined;
  // Without a port nobody has taken the link. Its carrier shows that it leads to an end that is up.
  const isUsable = hasPort ? isSound(link) && onSwitch.length === 0 : link.carrier;
  return isUsable ? { hostMac: link.mac, hasPort, routes } : undefined;
}

/**
 * Makes the port of a running pod again. A failure leaves nothing to undo: the interface was there
 * before this ADD, and the pod uses its address.
 * @throws as {@link attachLostPort}
 */
async function makePortAgain(call: Call, platform: Platform, { port }: Plan): Promise<void> {
  await attachLostPort(platform, call.settings, call.request, port);
  const fields = { reason: 'no-port', bridge: port.bridge, port: port.name };
  platform.log.warn('made the port of a running pod again', { ...logFields(call), ...fields });
}

/**
 * Probes the network for other hosts that use the addresses, if the configuration asks for
 * it, or if etcd was set back a short while ago. Sets
 * such an address aside when it is from our IPAM, so that the next ADD gets another.
 * @throws CniError 11 naming the address and the MAC that uses it
 */
async function probe(
  call: Call,
  platform: Platform,
  kernel: Kernel,
  namespace: Namespace,
  plan: Plan,
): Promise<void> {
  if (!plan.probe) return;
  const addresses = plan.addresses.map(formatAddress);
  const conflict = await kernel.probe(namespace, call.request.ifname, addresses, plan.probe);
  if (!conflict) return;
  const { address, mac } = conflict;
  const isOurs = call.config.ipamType === OUR_IPAM;
  if (isOurs) await setAside(call, platform, parseAddress(address), mac);
  const next = isOurs ? 'It is set aside for an hour, and the next ADD gets another. ' : '';
  throw new CniError(
    'try-again-later',
    `address ${address} is in use already: ${mac} answered for it`,
    `${next}Look for the MAC on the switch: another host uses an address of your range.`,
  );
}

/** @param sent number of announcements already sent */
function announceRest(call: Call, platform: Platform, plan: Plan, sent: number): void {
  const { count, intervalMs } = call.config.announcement;
  if (count <= sent) return;
  platform.announceLater({
    count: count - sent,
    intervalMs,
    netns: call.request.netns,
    ifname: call.request.ifname,
    mac: plan.veth.mac,
    addresses: plan.addresses.map(formatAddress),
  });
}

/** Returns the result, without the routes that another interface of the pod already has. */
function resultOf(call: Call, plan: Plan, { hostMac, routes }: CompletedInterface): CniResult {
  const { grant, veth } = plan;
  const dns = grant.dns ?? call.config.dns;
  return extendResult(call.config.prevResult, {
    interfaces: [
      { name: veth.hostName, mac: hostMac, mtu: veth.mtu, sandbox: '' },
      { name: call.request.ifname, mac: veth.mac, mtu: veth.mtu, sandbox: call.request.netns },
    ],
    ips: grant.ips.map((ip) => ({ ...ip, interface: 1 })),
    routes,
    ...(dns !== undefined && { dns }),
  });
}

function logFields(call: Call): Record<string, string> {
  const { containerId, ifname, args } = call.request;
  return {
    containerId,
    ifname,
    network: call.config.name,
    pod: `${args.podNamespace ?? ''}/${args.podName ?? ''}`,
  };
}
