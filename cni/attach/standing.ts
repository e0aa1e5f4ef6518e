import type { Kernel, Namespace, Platform } from '../platform/platform.ts';
import { logFieldsOf, type Call } from '../protocol/call.ts';
import type { Grant } from '../protocol/grant.ts';
import type { CniRoute } from '../protocol/result.ts';
import { compare } from './differences.ts';
import { isSound, type CompletedInterface } from './interface-setup.ts';
import { attachLostPort } from './lost-port.ts';
import type { Plan } from './plan.ts';

/** The interface that an earlier ADD of the attachment set up. */
export interface StandingInterface extends CompletedInterface {
  /** False when somebody removed its port. */
  readonly hasPort: boolean;
  /** The plan's, with the gateways that the pod has. */
  readonly grant: Grant;
}

/**
 * Returns the interface that an earlier ADD of this attachment set up, or undefined when it is
 * absent or differs from the plan. Only its port may be missing, and its routes may be those that
 * the range had before `range set`: a running pod must not lose its interface, with its
 * connections, for that.
 */
export async function findStanding(
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
  return isUsable
    ? { hostMac: link.mac, hasPort, routes, grant: withGateways(plan.grant, routes) }
    : undefined;
}

/** Names the gateways of a pod whose range may have had others when it was made. */
function withGateways(grant: Grant, routes: readonly CniRoute[]): Grant {
  if (!grant.allocations.some(({ routesChanged }) => routesChanged)) return grant;
  const ips = grant.ips.map(({ gateway: _, ...ip }) => {
    const everywhere = ip.address.includes(':') ? '::/0' : '0.0.0.0/0';
    const gateway = routes.find(({ dst }) => dst === everywhere)?.gw;
    return { ...ip, ...(gateway !== undefined && { gateway }) };
  });
  return { ...grant, ips };
}

/**
 * Makes the port of a running pod again. A failure leaves nothing to undo: the interface was there
 * before this ADD, and the pod uses its address.
 * @throws as {@link attachLostPort}
 */
export async function makePortAgain(call: Call, platform: Platform, { port }: Plan): Promise<void> {
  await attachLostPort(platform, call.settings, call.request, port);
  const fields = { reason: 'no-port', bridge: port.bridge, port: port.name };
  platform.log.warn('made the port of a running pod again', { ...logFieldsOf(call), ...fields });
}
