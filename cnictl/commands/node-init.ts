import type { BridgePlan } from '../../cni/ovsdb/bridge-steps.ts';
import { ensureBridge, type BridgeChanges } from '../../cni/ovsdb/bridges.ts';
import type { OvsdbSession } from '../../cni/ovsdb/session.ts';
import { DEFAULT_BRIDGE, DEFAULT_OVSDB } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import { printable } from '../render/printable.ts';
import { describeLoad, isEmpty, loadOf, unfitnessOf, type UplinkLoad } from '../uplink/load.ts';
import { checkTakeOver, takeOver, type TakeOver } from '../uplink/take-over.ts';
import { underWay } from '../uplink/under-way.ts';

export interface NodeInitOptions {
  readonly bridge?: string;
  readonly uplink?: string;
  readonly failMode: 'standalone' | 'secure';
  readonly datapath?: 'system' | 'netdev';
  readonly takeAddresses?: boolean;
  readonly confirmTimeout: string;
  readonly dryRun?: boolean;
}

/**
 * `node init`: creates the bridge and its uplink on this node where they are missing. It checks
 * everything before it writes anything.
 * @throws CommandError for a name that no device can have, an uplink that this host lacks, or one
 *   that carries the host's addresses; OvsdbError
 */
export async function nodeInit(context: Context, options: NodeInitOptions): Promise<number> {
  const remote = context.settings.ovsdb ?? DEFAULT_OVSDB;
  const bridge = options.bridge ?? context.settings.bridge ?? DEFAULT_BRIDGE;
  const { failMode, datapath, uplink } = options;
  checkBridgeName(bridge);
  if (uplink !== undefined) checkDeviceName(uplink);
  const confirmMs = confirmMsOf(options);
  const isLocal = remote.startsWith('unix:');
  if (options.takeAddresses === true) checkTakeAddresses(uplink, isLocal, remote);
  const plan = { bridge, uplink, failMode, datapathType: datapath };
  if (uplink !== undefined && isLocal) await finishLeftMove(context, options.dryRun ?? false);
  const ovsdb = await context.world.openOvsdb(remote, context.settings.ovsdbTls ?? {});
  try {
    const planned = await ensureBridge(ovsdb, { ...plan, dryRun: true });
    const take =
      uplink === undefined || !isLocal
        ? undefined
        : await lookAtUplink(context, { ...plan, uplink }, planned.uplinkAdded, options, remote, confirmMs);
    if (take) return await initWithMove(context, ovsdb, take, options, planned);
    const done = options.dryRun ? planned : await ensureBridge(ovsdb, plan);
    report(context, plan, options, done);
    return 0;
  } finally {
    ovsdb.close();
  }
}

function confirmMsOf({ confirmTimeout: text }: NodeInitOptions): number {
  const ms = parseDuration(text, '--confirm-timeout');
  if (ms > 0) return ms;
  throw new CommandError(`--confirm-timeout '${text}': expected more than 0, such as 1m`);
}

function checkTakeAddresses(uplink: string | undefined, isLocal: boolean, remote: string): void {
  if (uplink === undefined)
    throw new CommandError('--take-addresses without --uplink: expected the device that has the addresses');
  if (isLocal) return;
  throw new CommandError(
    `--take-addresses with Open vSwitch at '${remote}': expected unix:…, of this host`,
    'Run it on the node itself.',
  );
}

/** Undoes what an earlier run that was killed has left, and its watchdog too. */
async function finishLeftMove(context: Context, dryRun: boolean): Promise<void> {
  const host = await context.world.uplinkHost();
  const left = host.leftMove();
  if (!left) return;
  if (left.kind === 'under-way') throw underWay();
  const { uplink, bridge } = left.move;
  const what = `an earlier move of the addresses of ${uplink} to ${bridge} was cut off`;
  if (dryRun) throw new CommandError(what, 'Run it without --dry-run: then it is undone first.');
  const trouble = await host.undo(left.move, left.rebooted);
  if (trouble.length > 0) throw new CommandError(`${what}, and cannot be undone: ${trouble.join('; ')}`);
  context.warn(`${what}: it is undone`);
}

/**
 * Judges the device as this host's kernel knows it.
 * @returns the move that is to be made; undefined when the device carries nothing
 * @throws CommandError for a device that must not become an uplink as it is
 */
async function lookAtUplink(
  context: Context,
  plan: BridgePlan & { readonly uplink: string },
  isNew: boolean,
  { takeAddresses }: NodeInitOptions,
  ovsdb: string,
  confirmMs: number,
): Promise<TakeOver | undefined> {
  if (isNew) checkDevice(context, plan.uplink);
  const network = await (await context.world.uplinkHost()).readNetwork();
  const load = loadOf(network, plan.uplink);
  if (!load || (!isNew && isEmpty(load))) return undefined;
  const unfit = unfitnessOf(network, load);
  if (unfit.length > 0) {
    throw new CommandError(
      `uplink '${plan.uplink}' cannot be in a bridge: ${unfit.join('; ')}`,
      'Name the bond itself. Make of a VLAN interface a port of the bridge with its tag (ovs-vsctl add-port BRIDGE NAME tag=N -- set interface NAME type=internal), or name another uplink.',
    );
  }
  if (isEmpty(load)) return undefined;
  if (takeAddresses !== true) throw refusal(plan.bridge, load, isNew);
  return { plan, ovsdb, network, load, confirmMs };
}

function refusal(bridge: string, load: UplinkLoad, isNew: boolean): CommandError {
  const { name } = load.link;
  const state = isNew
    ? `carries ${describeLoad(load)}: as an uplink of ${bridge} it would not serve them any more, and this host would be cut off from what it reaches by ${name}`
    : `is in ${bridge} and carries ${describeLoad(load)}: a device in a bridge does not serve them`;
  return new CommandError(
    `uplink '${name}' ${state}`,
    `Name a device without addresses. Or use --take-addresses: it moves them to ${bridge}, and back if etcd and the API server are not reached within --confirm-timeout. Nothing was changed.`,
  );
}

async function initWithMove(
  context: Context,
  ovsdb: OvsdbSession,
  take: TakeOver,
  options: NodeInitOptions,
  planned: BridgeChanges,
): Promise<number> {
  const { plan, load } = take;
  const { move, servers } = await checkTakeOver(context, ovsdb, take);
  if (options.dryRun) {
    report(context, plan, options, planned, load);
    return 0;
  }
  const result = await takeOver(context, ovsdb, take, move, servers);
  if (result.kind === 'undone') {
    const { cause, trouble } = result;
    const state =
      trouble.length === 0
        ? `all is as it was: ${describeLoad(load)} on ${plan.uplink}`
        : `not all could be undone: ${trouble.join('; ')}`;
    context.warn(`the move to ${plan.bridge} was undone: ${cause}; ${state}`);
    return trouble.length === 0 ? 1 : 2;
  }
  report(context, plan, options, result.changes, load);
  context.warn(
    `after a reboot the addresses are on ${plan.uplink} again, unless the host's network configuration gives them to ${plan.bridge}: docs/operations/uplink-addresses.md`,
  );
  for (const { text, validSeconds } of load.addresses) {
    if (validSeconds !== undefined)
      context.warn(
        `${text} ends in ${validSeconds} s: its DHCP client or the router's advertisements must renew it on ${plan.bridge} from now on`,
      );
  }
  return 0;
}

function report(
  context: Context,
  { bridge, uplink }: BridgePlan,
  { dryRun = false }: NodeInitOptions,
  done: BridgeChanges,
  load?: UplinkLoad,
): void {
  const moved = load && [...load.addresses, ...load.routes].map(({ text }) => text);
  const moves = load ? [`${describeLoad(load)} moved from ${load.link.name} to ${bridge}`] : [];
  const changes = [...done.changes, ...moves];
  const data = { bridge, uplink: uplink ?? null, dryRun, ...done, ...(moved && { moved }), changes };
  context.print(data, () => {
    if (changes.length === 0) return `bridge ${bridge} is as it should be: nothing to do\n`;
    return changes.map((change) => `${dryRun ? 'would do: ' : ''}${printable(change)}\n`).join('');
  });
}

/** Stricter than the kernel, because the name also appears in commands and logs. */
const BRIDGE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/;

function checkBridgeName(name: string): void {
  if (BRIDGE_NAME.test(name)) return;
  throw new CommandError(
    `bridge name '${name}': expected 1 to 15 letters, digits, '_', '.' and '-', beginning with a letter, a digit or '_'`,
    'Choose a name such as br-cell.',
  );
}

/** Checks as the kernel does: dev_valid_name in net/core/dev.c. */
function checkDeviceName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes >= 1 && bytes <= 15 && !/[\s/:]/.test(name) && name !== '.' && name !== '..') return;
  throw new CommandError(
    `uplink name '${name}': expected 1 to 15 bytes without spaces, '/' and ':'`,
    'Look up the name of the device with `ip link`.',
  );
}

function checkDevice({ world }: Context, name: string): void {
  if (world.hasDevice(name)) return;
  throw new CommandError(
    `uplink '${name}': this host has no such device`,
    'Look up its name with `ip link`; make a bond before it becomes the uplink.',
  );
}
