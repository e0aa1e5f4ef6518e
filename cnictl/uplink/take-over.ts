/** Moves what the uplink carries for the host to the bridge, and back where servers are lost. */
import { readBridgeBefore } from '../../cni/ovsdb/bridge-before.ts';
import type { BridgePlan } from '../../cni/ovsdb/bridge-steps.ts';
import { ensureBridge, type BridgeChanges } from '../../cni/ovsdb/bridges.ts';
import type { OvsdbSession } from '../../cni/ovsdb/session.ts';
import type { HostNetwork } from '../../cni/netlink/host-network.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { Context } from '../context/context.ts';
import { formatDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import type { Undone, UplinkMove } from '../context/uplink-host.ts';
import { baggageOf, obstaclesOf, type UplinkLoad } from './load.ts';
import { askAll, isOnHost, serversOf, type Server } from './reach.ts';

export interface TakeOver {
  readonly plan: BridgePlan & { readonly uplink: string };
  /** The database of Open vSwitch. */
  readonly ovsdb: string;
  readonly network: HostNetwork;
  readonly load: UplinkLoad;
  /** Longest time until the servers are reached again, in milliseconds. */
  readonly confirmMs: number;
}

export type TakenOver =
  | { readonly kind: 'done'; readonly changes: BridgeChanges }
  | { readonly kind: 'undone'; readonly cause: string; readonly trouble: Undone };

const AGAIN_AFTER_MS = 500;
const AS_BY_HAND =
  'Move it to the bridge by hand (docs/operations/uplink-addresses.md), or name another uplink.';

/**
 * Checks what a move needs, and changes nothing.
 * @returns the servers that the host reaches now, and must reach afterwards
 * @throws CommandError
 */
export async function checkTakeOver(
  context: Context,
  session: OvsdbSession,
  { plan, ovsdb, network, load }: TakeOver,
): Promise<{ readonly move: UplinkMove; readonly servers: readonly Server[] }> {
  const obstacles = obstaclesOf(network, load);
  if (obstacles.length > 0) {
    throw new CommandError(
      `uplink '${plan.uplink}': its addresses and routes cannot be moved to ${plan.bridge}: ${obstacles.join('; ')}`,
      AS_BY_HAND,
    );
  }
  const before = await readBridgeBefore(session, plan.bridge, plan.uplink);
  const { mac } = load.link;
  const fixed = before.settings?.mac;
  if (fixed !== undefined && fixed.toLowerCase() !== mac) {
    throw new CommandError(
      `bridge '${plan.bridge}' has the MAC ${fixed} by other_config:hwaddr: expected ${mac} of ${plan.uplink}, which neighbours and the DHCP server know`,
      `ovs-vsctl remove bridge ${plan.bridge} other_config hwaddr`,
    );
  }
  const servers = await provenServers(context, network);
  const { bridge, uplink } = plan;
  return { move: { bridge, uplink, ovsdb, baggage: baggageOf(load), before }, servers };
}

/** Returns the servers that answer. At least one must be on another host, or nothing is proven. */
async function provenServers(context: Context, { addresses }: HostNetwork): Promise<Server[]> {
  const own = addresses.map(({ address }) => address);
  const answers = await askAll(serversOf(context));
  const reached = answers.filter(({ url }) => url !== undefined);
  if (reached.some(({ url }) => url !== undefined && !isOnHost(url, own)))
    return reached.map(({ server }) => server);
  const why = answers.map(({ server, failure }) => `${server.name}: ${failure ?? 'it is on this host'}`);
  throw new CommandError(
    `no etcd or API server on another host is reached now, so nothing would show that the move cut this host off: ${why.join('; ')}`,
    'Name one that is reached: --etcd-endpoints, --kubeconfig. Nothing was changed.',
  );
}

/**
 * Carries the move out. A watchdog undoes it when this process ends before the servers are reached
 * again.
 * @throws CommandError when the watchdog does not start, OvsdbError when Open vSwitch refuses
 *   bridge or uplink; all is as it was then
 */
export async function takeOver(
  context: Context,
  session: OvsdbSession,
  take: TakeOver,
  move: UplinkMove,
  servers: readonly Server[],
): Promise<TakenOver> {
  const { world } = context;
  const host = await world.uplinkHost();
  const stopped = world.untilStopped();
  const guard = await host.guard(move, take.confirmMs);
  const until = world.monotonic() + take.confirmMs;
  let changes: BridgeChanges | undefined;
  let cause: string | undefined;
  try {
    changes = await ensureBridge(session, { ...take.plan, mac: take.load.link.mac });
    // A process that was held up for long must not begin what its watchdog has undone.
    if (world.monotonic() > until) throw new Error('Open vSwitch took too long');
    await host.carry(move);
    cause = await untilReached(context, servers, until, take.confirmMs, stopped);
  } catch (error) {
    const trouble = await guard.undo();
    // Open vSwitch refused bridge or uplink, so no address was moved.
    if (changes === undefined && trouble.length === 0) throw error;
    return { kind: 'undone', cause: messageOf(error), trouble };
  }
  if (cause !== undefined) return { kind: 'undone', cause, trouble: await guard.undo() };
  if (await guard.confirm()) return { kind: 'done', changes };
  const late = 'the watchdog was not told in time';
  return { kind: 'undone', cause: late, trouble: await host.undo(move, false) };
}

/** @returns why they are not reached; undefined when all of them are */
async function untilReached(
  { world }: Context,
  servers: readonly Server[],
  until: number,
  confirmMs: number,
  stopped: AbortSignal,
): Promise<string | undefined> {
  let left = servers;
  const failures = new Map<string, string>();
  const over = world.pause(until - world.monotonic(), stopped).then(() => undefined);
  for (;;) {
    const answers = await Promise.race([askAll(left), over]);
    for (const { server, failure } of answers ?? []) failures.set(server.name, failure ?? '');
    left = answers?.filter(({ failure }) => failure !== undefined).map(({ server }) => server) ?? left;
    if (left.length === 0) return undefined;
    if (stopped.aborted) return messageOf(stopped.reason);
    if (world.monotonic() >= until) {
      const each = left.map(({ name }) => `${name} (${failures.get(name) || 'no answer'})`);
      return `not reached within ${formatDuration(confirmMs)}: ${each.join(', ')}`;
    }
    await world.pause(AGAIN_AFTER_MS, stopped);
  }
}
