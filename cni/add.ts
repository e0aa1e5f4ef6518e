import { formatAddress, parseAddress } from '../ipam/address.ts';
import type { Call } from './call.ts';
import { compare } from './differences.ts';
import { OUR_IPAM } from './config.ts';
import { CniError } from './errors.ts';
import { grantAddresses, putOff, setAside } from './ipam.ts';
import type { BridgeInfo, Kernel, Namespace, Parts } from './parts.ts';
import { finishOwnPending, finishPending } from './pending.ts';
import { makePlan, type Plan } from './plan.ts';
import { recordOf } from './record.ts';
import { extendResult, type CniResult, type CniRoute } from './result.ts';
import { runStep, type StepOf } from './steps.ts';
import { UndoStack } from './undo.ts';
import { bridgeMissing, deleteLink, detachPort, withSwitch } from './wire.ts';
import { refuseBandwidth, wishedMac } from './wishes.ts';

/**
 * ADD (CNI SPEC section 4): the pod gets its interface and addresses. In order: addresses, record, link, port, the pod's
 * end. A step that fails undoes every step before it (rule 2); asked again, the same addresses come back (rule 3).
 */
export async function add(call: Call, parts: Parts): Promise<CniResult> {
  refuseBandwidth(call);
  wishedMac(call);
  const kernel = await parts.openKernel();
  const namespace = openPodNamespace(kernel, call.request.netns);
  const undo = new UndoStack((what, error) => {
    parts.log.error('undo failed', { what, reason: error instanceof Error ? error.message : String(error) });
  });
  try {
    return await attach(call, parts, kernel, namespace, undo);
  } catch (error) {
    if (!(await undo.revert())) leaveForLater(call, parts);
    throw error;
  } finally {
    namespace.close();
  }
}

/** What could not be undone now is torn down by a later call. */
function leaveForLater(call: Call, parts: Parts): void {
  try {
    putOff(call, parts, true);
  } catch (error) {
    const { containerId, ifname } = call.request;
    const reason = error instanceof Error ? error.message : String(error);
    parts.log.error('what could not be undone cannot be put off either', { containerId, ifname, reason });
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
  parts: Parts,
  kernel: Kernel,
  namespace: Namespace,
  undo: UndoStack,
): Promise<CniResult> {
  const step = <T>(name: StepOf<'ADD'>, work: () => Promise<T> | T): Promise<T> =>
    runStep(parts.onStep, 'ADD', name, work);

  await finishOwnPending(call, parts);
  await finishPending(call, parts);
  const [grant, bridge] = await both(
    step('allocate', () => grantAddresses(call, parts, undo)),
    inspectBridge(call, parts),
  );
  const plan = makePlan(call, grant, bridge);
  const standing = await findStanding(call, parts, kernel, namespace, plan);
  if (standing) return resultOf(call, plan, standing.hostMac, standing.routes);

  await step('record', () => {
    undo.push('record', () => forget(call, parts));
    parts.openState(call.settings.stateDir).saveAttachment(recordOf(call, parts));
  });
  const hostMac = await step('create-link', async () => {
    await clearRemains(call, parts, kernel, plan);
    const mac = await kernel.createVeth({ ...plan.veth, namespace });
    undo.push('link', () => deleteLink(parts, call.request));
    return mac;
  });
  await step('attach-port', async () => {
    // Registered first: a port that never came up is in the database all the same.
    undo.push('port', () => detachPort(parts, call.settings, call.request));
    await withSwitch(parts, call.settings, (ovs) => ovs.addPort(plan.port));
  });
  await step('probe', () => probe(call, parts, kernel, namespace, plan));
  const routes = await step('configure-interface', () => kernel.configure(namespace, plan.pod));
  announceRest(call, parts, plan);
  parts.log.info('attached', { ...logFields(call), ips: plan.addresses.map(formatAddress) });
  return resultOf(call, plan, hostMac, routes);
}

/** Both at once; when one fails the other is awaited all the same, so that its undo is registered. */
async function both<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
  const [first, second] = await Promise.allSettled([a, b]);
  if (first.status === 'rejected') throw first.reason;
  if (second.status === 'rejected') throw second.reason;
  return [first.value, second.value];
}

/** @throws CniError 100 where there is no such bridge, and none is to be made */
function inspectBridge(call: Call, parts: Parts): Promise<BridgeInfo> {
  const { bridge, ovsdb } = call.settings;
  const { createBridge } = call.config;
  return withSwitch(parts, call.settings, async (ovs) => {
    let info = await ovs.inspectBridge(bridge);
    if (!info && createBridge) {
      // It stays when this ADD fails: other pods may be on it by then.
      await ovs.createBridge(bridge, createBridge.datapathType);
      info = await ovs.inspectBridge(bridge);
    }
    if (info) return info;
    throw bridgeMissing(bridge, ovsdb);
  });
}

/** What an earlier ADD of this attachment made, where it stands whole, so that nothing is to be done. */
async function findStanding(
  call: Call,
  parts: Parts,
  kernel: Kernel,
  namespace: Namespace,
  plan: Plan,
): Promise<{ hostMac: string; routes: readonly CniRoute[] } | undefined> {
  const link = await kernel.hostLink(plan.veth.hostName);
  if (link?.alias !== plan.veth.alias) return undefined;
  const { problems, routes } = await compare(parts, kernel, namespace, call, plan);
  return problems.length === 0 ? { hostMac: link.mac, routes } : undefined;
}

/**
 * What an earlier, broken-off ADD of this attachment left, and only that. A link of our name without any mark is such
 * a remain too: its maker was killed before it marked it, and the name is a hash of just this attachment.
 */
async function clearRemains(call: Call, parts: Parts, kernel: Kernel, plan: Plan): Promise<void> {
  const link = await kernel.hostLink(plan.veth.hostName);
  if (!link) return;
  if (link.alias !== '' && link.alias !== plan.veth.alias) {
    throw new CniError(
      'not-ours',
      `link '${link.name}' is in the way: its alias is '${link.alias}', expected '${plan.veth.alias}'`,
      `Find out who made it with \`ip -d link show ${link.name}\`; cellnet deletes only its own.`,
    );
  }
  await detachPort(parts, call.settings, call.request);
  await deleteLink(parts, call.request);
}

/**
 * Asks the network whether anybody uses the addresses, where that is configured. One that is used is set aside, so that
 * the next ADD gets another.
 * @throws CniError 11 naming the address and the MAC that uses it
 */
async function probe(
  call: Call,
  parts: Parts,
  kernel: Kernel,
  namespace: Namespace,
  plan: Plan,
): Promise<void> {
  const { addressProbe } = call.config;
  if (!addressProbe) return;
  const addresses = plan.addresses.map(formatAddress);
  const conflict = await kernel.probe(namespace, call.request.ifname, addresses, addressProbe);
  if (!conflict) return;
  const { address, mac } = conflict;
  if (call.config.ipamType === OUR_IPAM) await setAside(call, parts, parseAddress(address), mac);
  throw new CniError(
    'try-again-later',
    `address ${address} is in use already: ${mac} answered for it`,
    'It is set aside for an hour, and the next ADD gets another. Look for the MAC on the switch: somebody uses an address of your range.',
  );
}

function announceRest(call: Call, parts: Parts, plan: Plan): void {
  const { count, intervalMs } = call.config.announcement;
  // The kernel has sent the first as the interface went up.
  if (count <= 1) return;
  parts.announceLater({
    count: count - 1,
    intervalMs,
    netns: call.request.netns,
    ifname: call.request.ifname,
    mac: plan.veth.mac,
    addresses: plan.addresses.map(formatAddress),
  });
}

/** @param routes that the interface has: those that another one of the pod leads to are not its own */
function resultOf(call: Call, plan: Plan, hostMac: string, routes: readonly CniRoute[]): CniResult {
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

function forget(call: Call, parts: Parts): Promise<void> {
  parts.openState(call.settings.stateDir).removeAttachment(call.request);
  return Promise.resolve();
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
