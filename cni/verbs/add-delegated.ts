import { formatAddress } from '../../ipam/model/address.ts';
import { grantDelegated, takeBack } from '../address/delegate.ts';
import { InterfaceSetup } from '../attach/interface-setup.ts';
import { makePlan, planWithoutAddress, type Plan } from '../attach/plan.ts';
import { settleAll } from '../attach/settle-all.ts';
import { findStanding, makePortAgain } from '../attach/standing.ts';
import type { AddUndo } from '../attach/undo.ts';
import { finishDeferred, finishOwnDeferred } from '../deferred/deferred.ts';
import type { AttachmentRecord } from '../platform/node-records.ts';
import type { Kernel, Namespace, Platform } from '../platform/platform.ts';
import { stepsOf } from '../platform/steps.ts';
import type { BridgeInfo } from '../platform/switch.ts';
import { logFieldsOf, type Call } from '../protocol/call.ts';
import { grantOfResult } from '../protocol/grant.ts';
import type { CniResult } from '../protocol/result.ts';
import { lookAtBridge } from './bridge-look.ts';
import { announceRest, probe, resultOf } from './finish-add.ts';

/** What an ADD works with. */
export interface AddContext {
  readonly platform: Platform;
  readonly kernel: Kernel;
  readonly namespace: Namespace;
  readonly undo: AddUndo;
}

/**
 * ADD with another IPAM plugin (decision 36): the interface comes first, up and forwarding, because
 * the plugin may ask for the address over it, as `dhcp` does. The pod's end has no address until
 * the plugin has given one.
 * @param type of the IPAM plugin
 */
export async function attachDelegated(call: Call, type: string, context: AddContext): Promise<CniResult> {
  const { platform, kernel, namespace, undo } = context;
  const step = stepsOf(platform.onStep, 'ADD');
  const setup = new InterfaceSetup(call, platform, kernel, namespace, undo.setup);

  await finishOwnDeferred(call, platform);
  await finishDeferred(call, platform);
  const { bridge, forwarding } = lookAtBridge(call, platform);
  const [info] = await settleAll(bridge, forwarding);
  const earlier = platform.openState(call.settings.stateDir).readAttachment(call.request);
  if (earlier) {
    const standing = await returnStanding(call, context, planOfRecord(call, type, earlier, info));
    if (standing) return standing;
    // The earlier ADD may have been killed after the plugin had given an address.
    await takeBack(call, platform, type);
  }
  const podLink = await setup.createPodLink(planWithoutAddress(call, info));
  const { hostMac } = await setup.connect(podLink, () => Promise.resolve());
  const grant = await step('allocate', () => grantDelegated(call, platform, type, undo));
  const plan = makePlan(call, grant, info);
  await setup.nameAddresses(plan);
  const routes = await setup.assignAddresses(plan, () => probe(call, platform, kernel, namespace, plan));
  // The kernel has sent the first announcement.
  announceRest(call, platform, plan, 1);
  platform.log.info('attached', { ...logFieldsOf(call), ips: plan.addresses.map(formatAddress) });
  return resultOf(call, plan, { hostMac, routes });
}

/** Returns the plan of an earlier ADD; undefined when that had no address yet. */
function planOfRecord(
  call: Call,
  type: string,
  { delegated }: AttachmentRecord,
  info: BridgeInfo,
): Plan | undefined {
  return delegated && makePlan(call, grantOfResult(type, delegated), info);
}

/**
 * Returns the result of an earlier ADD whose interface the pod still has, as a repeated ADD must
 * (rule 3), and makes the port again if that is missing. The plugin is not asked: `host-local`
 * would refuse, and `dhcp` would take a second lease.
 */
async function returnStanding(
  call: Call,
  { platform, kernel, namespace }: AddContext,
  plan: Plan | undefined,
): Promise<CniResult | undefined> {
  const standing = plan && (await findStanding(call, platform, kernel, namespace, plan));
  if (!standing) return undefined;
  const step = stepsOf(platform.onStep, 'ADD');
  if (!standing.hasPort) await step('attach-port', () => makePortAgain(call, platform, plan));
  // The earlier ADD may have been killed before it announced the addresses.
  announceRest(call, platform, plan, 0);
  return resultOf(call, plan, standing);
}
