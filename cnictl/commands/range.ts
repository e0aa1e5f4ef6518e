import { formatAddress, formatCidr, formatSpan } from '../../ipam/model/address.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import { hasFormerRoutes, type Range } from '../../ipam/model/range.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { listRangeUsage, readRangeUsage, type RangeUsage } from '../../ipam/query/range-usage.ts';
import { podsByNode, type PodsOfNode } from '../../ipam/query/living-pods.ts';
import { planRangeRemoval, removeRange } from '../../ipam/ranges/ranges.ts';
import { readForecasts, type Forecasts, type RoomsForecast } from '../../ipam/query/forecasts.ts';
import type { Context } from '../context/context.ts';
import { formatAge, formatDuration } from '../context/durations.ts';
import { renderBar, renderCount } from '../render/bar.ts';
import { painted } from '../render/cell.ts';
import {
  adviceText,
  forecastJson,
  fullInText,
  lastFields,
  unreadableSamplesText,
} from '../render/forecast.ts';
import { plural } from '../render/plural.ts';
import { ProgressLine } from '../render/progress.ts';
import { renderFields, renderTable, type Column } from '../render/table.ts';
import { addressKey } from './ip.ts';
import { listText, podsText, routeJson, routeText, sumOf } from './range-text.ts';
import type { ListOptions } from './list.ts';
import { showList } from './show-list.ts';

/** `range list` */
export async function rangeList(context: Context, options: ListOptions = {}): Promise<number> {
  let forecasts: Forecasts | undefined;
  return await showList<RangeUsage>(context, options, {
    gather: async () => {
      const { usages, unreadable, ...read } = await context.withIpam(async (ipam) => {
        const read = await listRangeUsage(ipam);
        return { ...read, told: await readForecasts(ipam, read.usages) };
      });
      forecasts = read.told.forecasts;
      const bad = unreadableSamplesText(read.told.unreadable);
      const none = (): string => (unreadable.length > 0 ? 'No range can be read.\n' : NO_RANGES);
      return { rows: usages, unreadable, none, notes: bad === undefined ? [] : [bad] };
    },
    columns: (usages) => rangeColumns(context, usages, forecasts),
    json: (usage) => rangeJson(usage, forecastOf(usage, forecasts, context.world.now())),
    compared: (usage) => rangeJson(usage),
    name: ({ range }) => range.name,
    below: (usages) => {
      const ranges = usages.map(({ range }) => range);
      return forecasts ? context.paint.dim(adviceText(forecasts, ranges, context.world.now())) : '';
    },
  });
}

const forecastOf = (
  { range }: RangeUsage,
  forecasts: Forecasts | undefined,
  now: number,
): ReturnType<typeof forecastJson> | null =>
  forecasts ? forecastJson(forecasts, forecasts.ranges.get(range.name), now) : null;

const NO_RANGES =
  'No ranges yet. Add one: cnictl range add 10.20.0.0/22 --gateway 10.20.0.1\nIn a cluster that had ranges, etcd forgot them: cnictl restore FILE\n';

/** Forecasts by the samples in etcd, with a warning of those that cannot be read. */
export async function forecastsFor(
  context: Context,
  ipam: Ipam,
  usages: readonly RangeUsage[],
): Promise<Forecasts> {
  const { forecasts, unreadable } = await readForecasts(ipam, usages);
  const text = unreadableSamplesText(unreadable);
  if (text !== undefined) context.warn(text);
  return forecasts;
}

export const rangeTable = (context: Context, usages: readonly RangeUsage[], forecasts: Forecasts): string =>
  renderTable(rangeColumns(context, usages, forecasts), usages, context.paint);

function rangeColumns(
  { paint, world }: Context,
  usages: readonly RangeUsage[],
  forecasts: Forecasts | undefined,
): Column<RangeUsage>[] {
  const now = world.now();
  const fullIn = ({ range }: RangeUsage): string => fullInText(forecasts?.ranges.get(range.name), now);
  const keeps = usages.some(({ kept }) => kept > 0);
  return [
    { title: 'NAME', value: ({ range }) => range.name },
    {
      title: 'SUBNET',
      value: ({ range }) => formatCidr(range.cidr),
      sort: ({ range }) => addressKey({ address: range.cidr.base }),
    },
    {
      title: 'GATEWAY',
      value: ({ range }) => (range.gateway ? formatAddress(range.gateway) : '-'),
      spare: 5,
    },
    { title: 'VLAN', value: ({ range }) => `${range.vlan ?? '-'}`, right: true, spare: 2 },
    {
      title: 'STATE',
      spare: 1,
      value: ({ range: { state } }) => (state === 'active' ? state : painted(paint.yellow(state))),
    },
    {
      title: 'BLOCKS',
      value: ({ blocks }) => `${blocks.claimed}/${renderCount(blocks.total)}`,
      right: true,
      spare: 4,
    },
    { title: 'USED', value: ({ allocated }) => `${allocated}`, right: true },
    ...(keeps ? [{ title: 'KEPT', value: ({ kept }: RangeUsage) => `${kept}`, right: true, spare: 3 }] : []),
    { title: 'FREE', value: ({ free }) => renderCount(free), right: true, sort: ({ free }) => free },
    {
      title: 'UTILISATION',
      value: ({ allocated, capacity }) => painted(renderBar(allocated, capacity, paint)),
      sort: ({ allocated, capacity }) => allocated / Math.max(1, capacity),
    },
    ...(forecasts?.sampled ? [{ title: 'FULL IN', value: fullIn }] : []),
  ];
}

/** `range show` */
export async function rangeShow(context: Context, name: string): Promise<number> {
  const { usage, unreadable, former, forecasts } = await context.withIpam(async (ipam) => {
    const read = await readRangeUsage(ipam, name);
    const forecasts = await forecastsFor(context, ipam, [read.usage]);
    return { ...read, former: await podsWithFormerRoutes(ipam, read.usage.range), forecasts };
  });
  const forecast = forecasts.sampled && forecasts.ranges.get(name);
  const json = rangeJson(usage, forecastJson(forecasts, forecast, context.world.now()));
  const data = { ...json, formerRoutes: { pods: sumOf(former), nodes: former }, unreadable };
  context.print(data, () => rangeFields(context, usage, former, forecast));
  context.warnUnreadable(unreadable);
  return 0;
}

const podsWithFormerRoutes = async (ipam: Ipam, range: Range): Promise<readonly PodsOfNode[]> =>
  range.routesChangedAt === undefined
    ? []
    : await podsByNode(ipam, range.name, ({ allocatedAt }) => hasFormerRoutes(range, allocatedAt));

function rangeFields(
  { paint, world }: Context,
  usage: RangeUsage,
  former: readonly PodsOfNode[],
  forecast: RoomsForecast | undefined,
): string {
  const { range } = usage;
  return renderFields(
    [
      ['Name', range.name],
      ['Subnet', formatCidr(range.cidr)],
      ['Gateway', range.gateway ? formatAddress(range.gateway) : '-'],
      ['VLAN', range.vlan === undefined ? 'untagged' : `${range.vlan}`],
      ['State', range.state],
      ['Given to', range.namedOnly ? 'those who name it: rules, ipam.ranges' : 'every pod'],
      ['Excluded', listText(range.exclude.map(formatSpan))],
      ['Routes', listText(range.routes.map(routeText))],
      ...routesSince(range, former, world.now()),
      ['Cooldown', formatDuration(range.cooldownMs)],
      [
        'Blocks',
        `${usage.blocks.claimed} of ${renderCount(usage.blocks.total)} claimed, ${range.blockSize} addresses each`,
      ],
      [
        'Addresses',
        `${usage.allocated} of ${renderCount(usage.capacity)} used, ${usage.cooling} cooling${usage.kept > 0 ? `, ${usage.kept} kept` : ''}`,
      ],
      ['Utilisation', painted(renderBar(usage.allocated, usage.capacity, paint))],
      ...(forecast ? lastFields(forecast, world.now()) : []),
    ],
    paint,
  );
}

/** Says when the operator last changed gateway and routes, and which pods have former ones. */
function routesSince(
  { routesChangedAt }: Range,
  former: readonly PodsOfNode[],
  now: number,
): [string, string][] {
  if (routesChangedAt === undefined) return [];
  const since = `gateway or routes ${formatAge(now - routesChangedAt)} ago`;
  const older = former.length === 0 ? 'no pod is older' : `older: ${podsText(former)}`;
  return [['Changed', `${since}; ${older}`]];
}

export interface RangeRemoveOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly ignoreNotFound?: boolean;
}

/** `range remove`. @throws IpamError `not-found`, unless that is to be ignored */
export async function rangeRemove(
  context: Context,
  name: string,
  options: RangeRemoveOptions,
): Promise<number> {
  return await context.withIpam(async (ipam) => {
    const plan = await planRangeRemoval(ipam, name).catch((error: unknown) => {
      if (options.ignoreNotFound && error instanceof IpamError && error.code === 'not-found')
        return undefined;
      throw error;
    });
    if (!plan) {
      context.print(
        { name, cidr: null, emptyBlocks: 0, removed: false },
        () => `nothing to remove: ${name}\n`,
      );
      return 0;
    }
    const { range, emptyBlocks } = plan;
    const blocks =
      emptyBlocks === 0 ? '' : ` and ${plural(emptyBlocks, 'claimed block')} without an allocation`;
    const what = `range ${name} (${formatCidr(range.cidr)})${blocks}`;
    if (!options.dryRun) {
      await context.confirm(`This removes ${what}`, options.yes ?? false);
      const line = new ProgressLine(context.world, context.paint);
      try {
        await removeRange(ipam, name, (done) => line.update('blocks returned', done, emptyBlocks));
      } finally {
        line.clear();
      }
    }
    const data = { name, cidr: formatCidr(range.cidr), emptyBlocks, removed: !options.dryRun };
    context.print(data, () => `${options.dryRun ? 'would be removed' : 'removed'}: ${what}\n`);
    return 0;
  });
}

/**
 * Scripts rely on these keys. More keys may be added.
 * @param forecast null: nothing tells how long the range lasts
 */
export function rangeJson(
  { range, capacity, allocated, cooling, kept, free, blocks }: RangeUsage,
  forecast: object | null = null,
): object {
  return {
    name: range.name,
    cidr: formatCidr(range.cidr),
    gateway: range.gateway ? formatAddress(range.gateway) : null,
    vlan: range.vlan ?? null,
    state: range.state,
    namedOnly: range.namedOnly ?? false,
    capacity,
    allocated,
    free,
    cooling,
    kept,
    blocks,
    blockSize: range.blockSize,
    cooldownSeconds: range.cooldownMs / 1000,
    exclude: range.exclude.map(formatSpan),
    routes: range.routes.map(routeJson),
    routesChangedAt:
      range.routesChangedAt === undefined ? null : new Date(range.routesChangedAt).toISOString(),
    forecast,
  };
}
