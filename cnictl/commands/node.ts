import { ensureBridge } from '../../cni/ovsdb/bridges.ts';
import { drainingNodes } from '../../ipam/node/drain.ts';
import { listNames } from '../../ipam/node/name-records.ts';
import { listBlocks, type BlockView } from '../../ipam/query/views.ts';
import { DEFAULT_BRIDGE, DEFAULT_OVSDB } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { renderBar } from '../render/bar.ts';
import { painted } from '../render/cell.ts';
import { printable } from '../render/printable.ts';
import { renderTable } from '../render/table.ts';
import { aliveText, nameJson } from './node-name.ts';

export interface NodeUsage {
  readonly name: string;
  readonly blocks: number;
  readonly capacity: number;
  readonly allocated: number;
  readonly cooling: number;
  readonly ranges: readonly string[];
}

/** Returns the nodes that hold blocks, by name. */
export function gatherNodes(blocks: readonly BlockView[]): NodeUsage[] {
  const nodes = new Map<string, NodeUsage>();
  for (const { block, counts } of blocks) {
    const before = nodes.get(block.node);
    nodes.set(block.node, {
      name: block.node,
      blocks: (before?.blocks ?? 0) + 1,
      capacity: (before?.capacity ?? 0) + counts.capacity,
      allocated: (before?.allocated ?? 0) + counts.used,
      cooling: (before?.cooling ?? 0) + counts.cooling,
      ranges: [...new Set([...(before?.ranges ?? []), block.range])].sort(),
    });
  }
  return [...nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

const withoutBlocks = (name: string): NodeUsage => ({
  name,
  blocks: 0,
  capacity: 0,
  allocated: 0,
  cooling: 0,
  ranges: [],
});

/** `node list` */
export async function nodeList(context: Context): Promise<number> {
  const { paint } = context;
  const { nodes, unreadable } = await context.withIpam(async (ipam) => {
    const draining = await drainingNodes(ipam);
    const { blocks, unreadable } = await listBlocks(ipam);
    const usages = gatherNodes(blocks);
    const known = new Set(usages.map(({ name }) => name));
    const names = await listNames(ipam.store);
    const bare = [...draining].filter((name) => !known.has(name)).map(withoutBlocks);
    const nodes = [...usages, ...bare]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((usage) => ({
        ...usage,
        state: draining.has(usage.name) ? 'draining' : 'active',
        view: names.get(usage.name),
      }));
    return { nodes, unreadable };
  });
  const now = context.world.now();
  const data = nodes.map(({ view, ...usage }) => ({ ...usage, ...nameJson(view) }));
  context.print(data, () => {
    if (nodes.length === 0 && unreadable.length > 0) return 'No block can be read.\n';
    if (nodes.length === 0) return 'No node holds a block yet.\n';
    return renderTable<(typeof nodes)[number]>(
      [
        { title: 'NODE', value: ({ name }) => name },
        { title: 'STATE', value: ({ state }) => (state === 'active' ? state : painted(paint.yellow(state))) },
        { title: 'BLOCKS', value: ({ blocks }) => `${blocks}`, right: true },
        { title: 'USED', value: ({ allocated, capacity }) => `${allocated}/${capacity}`, right: true },
        { title: 'COOLING', value: ({ cooling }) => `${cooling}`, right: true },
        {
          title: 'UTILISATION',
          value: ({ allocated, capacity }) => painted(renderBar(allocated, capacity, paint)),
        },
        { title: 'RANGES', value: ({ ranges }) => ranges.join(', ') },
        { title: 'MACHINE', value: ({ view }) => view?.owner?.record.machine?.id ?? '-' },
        { title: 'ALIVE', value: ({ view }) => aliveText(view, now) },
      ],
      nodes,
      paint,
    );
  });
  context.warnUnreadable(unreadable);
  return 0;
}

export interface NodeInitOptions {
  readonly bridge?: string;
  readonly uplink?: string;
  readonly failMode: 'standalone' | 'secure';
  readonly datapath?: 'system' | 'netdev';
  readonly dryRun?: boolean;
}

/**
 * `node init`: creates the bridge and its uplink on this node where they are missing. It checks
 * everything before it writes anything.
 * @throws CommandError for a name that no device can have, or an uplink that this host lacks;
 *   OvsdbError
 */
export async function nodeInit(context: Context, options: NodeInitOptions): Promise<number> {
  const remote = context.settings.ovsdb ?? DEFAULT_OVSDB;
  const bridge = options.bridge ?? context.settings.bridge ?? DEFAULT_BRIDGE;
  const dryRun = options.dryRun ?? false;
  checkBridgeName(bridge);
  if (options.uplink !== undefined) checkDeviceName(options.uplink);
  const ovsdb = await context.world.openOvsdb(remote, context.settings.ovsdbTls ?? {});
  try {
    const { failMode, datapath, uplink } = options;
    const plan = { bridge, uplink, failMode, datapathType: datapath };
    const planned = await ensureBridge(ovsdb, { ...plan, dryRun: true });
    if (uplink !== undefined && planned.uplinkAdded && remote.startsWith('unix:'))
      checkDevice(context, uplink);
    const done = dryRun ? planned : await ensureBridge(ovsdb, plan);
    context.print({ bridge, uplink: uplink ?? null, dryRun, ...done }, () => {
      if (done.changes.length === 0) return `bridge ${bridge} is as it should be: nothing to do\n`;
      return done.changes.map((change) => `${dryRun ? 'would do: ' : ''}${printable(change)}\n`).join('');
    });
    return 0;
  } finally {
    ovsdb.close();
  }
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
