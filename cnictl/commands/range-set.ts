import {
  formatAddress,
  formatCidr,
  formatSpan,
  parseAddress,
  parseCidr,
  parseSpan,
  spanContains,
  type Address,
} from '../../ipam/model/address.ts';
import { hasSameRoutes, type RangeEdit } from '../../ipam/model/edit-range.ts';
import { hasFormerRoutes, nextHops, type Range } from '../../ipam/model/range.ts';
import { podsByNode, type PodsOfNode } from '../../ipam/query/living-pods.ts';
import { reservedAs } from '../../ipam/query/views.ts';
import { planRangeChange, setRange, type RangeChange } from '../../ipam/ranges/set-range.ts';
import type { Context } from '../context/context.ts';
import { formatDuration, parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import type { OpenIpam } from '../context/world.ts';
import { plural } from '../render/plural.ts';
import {
  gatewayText,
  hasDefaultRoute,
  listText,
  noDefaultRouteText,
  parseRoute,
  podsText,
  routeJson,
  routeText,
  sumOf,
} from './range-text.ts';

export interface RangeSetOptions {
  readonly namedOnly?: boolean;
  readonly forAll?: boolean;
  readonly cooldown?: string;
  readonly exclude?: readonly string[];
  readonly include?: readonly string[];
  /** false: none. */
  readonly gateway?: string | false;
  readonly route?: readonly string[];
  readonly removeRoute?: readonly string[];
  readonly dryRun?: boolean;
}

/** A change with its consequences for pods that live. */
interface Told {
  readonly change: RangeChange;
  /** Pods that have other routes than the range then; none where the change is of other things. */
  readonly former: readonly PodsOfNode[];
  readonly dryRun: boolean;
}

/** `range set`: changes what can change while pods have addresses of the range. */
export async function rangeSet(context: Context, name: string, options: RangeSetOptions): Promise<number> {
  const edit = editFrom(options);
  const dryRun = options.dryRun ?? false;
  const told = await context.withIpam(async (ipam) => {
    const change = await planRangeChange(ipam, name, edit);
    const planned = { change, former: await formerOf(ipam, change), dryRun };
    warnAhead(context, planned);
    if (dryRun) return planned;
    const done = await setRange(ipam, name, edit);
    // Counted again: pods came and went until the change.
    return { change: done, former: await formerOf(ipam, done), dryRun };
  });
  const { after } = told.change;
  if (changesRoutes(told.change) && !hasDefaultRoute(after)) context.warn(noDefaultRouteText(after));
  context.print(setJson(told), () => setText(told, edit));
  return 0;
}

/** Counts the pods that are older than the last change of gateway or routes. */
async function formerOf(ipam: OpenIpam, change: RangeChange): Promise<readonly PodsOfNode[]> {
  const { after, freed } = change;
  if (after.routesChangedAt === undefined || (!changesRoutes(change) && freed.length === 0)) return [];
  return await podsByNode(ipam, after.name, ({ allocatedAt }) => hasFormerRoutes(after, allocatedAt));
}

/** Says before the change what it means for pods that live. */
function warnAhead(context: Context, { change, former, dryRun }: Told): void {
  if (former.length === 0) return;
  if (changesRoutes(change) && !dryRun) context.note(keepText(former));
  if (change.freed.length > 0)
    context.warn(
      `${podsText(former)} may still send to a former gateway or next hop: make sure that ${change.freed.map(formatSpan).join(', ')} is none of them, or make these pods again first`,
    );
}

const changesRoutes = ({ before, after }: RangeChange): boolean => !hasSameRoutes(before, after);

/** @throws CommandError, IpamError `invalid` */
function editFrom(options: RangeSetOptions): RangeEdit {
  const { namedOnly, forAll, cooldown, exclude, include, gateway, route, removeRoute } = options;
  if (namedOnly && forAll) throw new CommandError('--named-only and --for-all: expected one of them');
  const edit: RangeEdit = {
    ...(namedOnly && { namedOnly: true }),
    ...(forAll && { namedOnly: false }),
    ...(cooldown !== undefined && { cooldownMs: parseDuration(cooldown, '--cooldown') }),
    ...(exclude && { exclude: exclude.map((text) => parseSpan(text, 'exclusion')) }),
    ...(include && { include: include.map((text) => parseSpan(text, 'inclusion')) }),
    ...(gateway !== undefined && { gateway: gateway === false ? null : parseAddress(gateway, 'gateway') }),
    ...(route && { routes: route.map(parseRoute) }),
    ...(removeRoute && { removeRoutes: removeRoute.map((text) => parseCidr(text, 'route')) }),
  };
  if (Object.keys(edit).length > 0) return edit;
  throw new CommandError(
    'nothing to set: expected --exclude, --include, --gateway, --no-gateway, --route, --remove-route, --named-only, --for-all or --cooldown',
  );
}

/** Returns former next hops that the change keeps from pods, because others still send to them. */
function keptOut({ before, after }: RangeChange): Address[] {
  return nextHops(before).filter(
    (hop) => reservedAs(after, hop) === 'excluded' && !before.exclude.some((span) => spanContains(span, hop)),
  );
}

/** Scripts rely on these keys. More keys may be added. */
function setJson({ change, former, dryRun }: Told): object {
  const { before, after, reserved, freed, blocks } = change;
  return {
    name: after.name,
    dryRun,
    changed: settingsOf(after).some(([, text], i) => text !== settingsOf(before)[i]?.[1]),
    namedOnly: after.namedOnly ?? false,
    cooldownSeconds: after.cooldownMs / 1000,
    gateway: after.gateway ? formatAddress(after.gateway) : null,
    exclude: after.exclude.map(formatSpan),
    routes: after.routes.map(routeJson),
    reserved: reserved.map(formatSpan),
    freed: freed.map(formatSpan),
    keptOut: keptOut(change).map(formatAddress),
    blocks: { changed: blocks.changed.map(formatCidr), returned: blocks.returned.map(formatCidr) },
    formerRoutes: changesRoutes(change) ? { pods: sumOf(former), nodes: former } : null,
  };
}

const settingsOf = (range: Range): [name: string, text: string][] => [
  ['gateway', gatewayText(range)],
  ['routes', listText(range.routes.map(routeText))],
  ['excluded', listText(range.exclude.map(formatSpan))],
  ['given to', range.namedOnly ? 'those who name it: rules, ipam.ranges' : 'every pod'],
  ['cooldown', formatDuration(range.cooldownMs)],
];

function setText({ change, former, dryRun }: Told, edit: RangeEdit): string {
  const { before, after, reserved, freed, blocks } = change;
  const was = settingsOf(before);
  const changed = settingsOf(after).filter(([, text], i) => text !== was[i]?.[1]);
  if (changed.length === 0) return `range ${after.name} stays as it is\n${stillText(change, edit)}`;
  const lines = [
    `range ${after.name} ${dryRun ? 'would be changed' : 'is changed'}:`,
    ...changed.map(
      ([name, text]) => `  ${name}: ${text} (was ${was.find(([other]) => other === name)?.[1]})`,
    ),
    ...(reserved.length > 0 ? [`no pod gets any more: ${reserved.map(formatSpan).join(', ')}`] : []),
    ...(freed.length > 0 ? [`pods may get: ${freed.map(formatSpan).join(', ')}`] : []),
    ...keptOut(change)
      .map(formatAddress)
      .map(
        (ip) =>
          `${ip} stays excluded: pods that live may send to it. When none does: cnictl range set ${after.name} --include ${ip}`,
      ),
    ...(blocks.returned.length > 0
      ? [
          `${plural(blocks.returned.length, 'claimed block')} without an address for pods ${dryRun ? 'would be' : blocks.returned.length === 1 ? 'is' : 'are'} returned`,
        ]
      : []),
    ...(changesRoutes(change) && former.length > 0
      ? [keepText(former)]
      : ['Living pods keep what they have.']),
  ];
  return `${lines.join('\n')}\n${stillText(change, edit)}`;
}

const keepText = (former: readonly PodsOfNode[]): string =>
  `${podsText(former)} ${sumOf(former) === 1 ? 'keeps its' : 'keep their'} gateway and routes until made again`;

/** Says which addresses to include stay reserved, and as what. */
function stillText({ after }: RangeChange, { include = [] }: RangeEdit): string {
  return [...nextHops(after), after.cidr.base]
    .filter((address) => include.some((span) => spanContains(span, address)))
    .map(
      (address) =>
        `${formatAddress(address)} stays reserved: it is the ${reservedAs(after, address) ?? ''} address\n`,
    )
    .join('');
}
