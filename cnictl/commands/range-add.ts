import { formatAddress, formatCidr, parseAddress, parseCidr, parseSpan } from '../../ipam/model/address.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import { rangeCapacity, usableBlockTotal, type Range } from '../../ipam/model/range.ts';
import { unusedRange } from '../../ipam/query/range-usage.ts';
import { addRange, planRange } from '../../ipam/ranges/ranges.ts';
import type { Context } from '../context/context.ts';
import { parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import { plural } from '../render/plural.ts';
import { refuseLivingPods } from './range-add-pods.ts';
import { hasDefaultRoute, noDefaultRouteText, parseRoute } from './range-text.ts';
import { rangeJson } from './range.ts';

export interface RangeAddOptions {
  readonly gateway?: string;
  readonly name?: string;
  readonly vlan?: string;
  readonly exclude?: readonly string[];
  readonly route?: readonly string[];
  readonly cooldown?: string;
  readonly blockSize?: string;
  readonly namedOnly?: boolean;
  /** Adds the range although pods live in it that etcd forgot. */
  readonly recover?: boolean;
  readonly dryRun?: boolean;
}

/** `range add`: checks everything before it writes anything. */
export async function rangeAdd(context: Context, cidr: string, options: RangeAddOptions): Promise<number> {
  const range = rangeFrom(cidr, options);
  const recover = options.recover ?? false;
  await context.withIpam(async (ipam) => {
    await planRange(ipam, range, { recover });
    if (!recover) await refuseLivingPods(context, ipam.store, range);
    if (!options.dryRun) await addRange(ipam, range, { recover });
  });
  if (!hasDefaultRoute(range)) context.warn(noDefaultRouteText(range));
  const done = options.dryRun ? 'would be added' : 'added';
  context.print(rangeJson(unusedRange(range)), () => {
    const gateway = range.gateway ? `gateway ${formatAddress(range.gateway)}` : 'no gateway';
    const vlan = range.vlan === undefined ? 'untagged' : `VLAN ${range.vlan}`;
    return `range ${range.name} ${done}: ${formatCidr(range.cidr)}, ${gateway}, ${vlan}, ${plural(rangeCapacity(range), 'address', 'addresses')} in ${plural(usableBlockTotal(range), 'block')} of ${range.blockSize}\n`;
  });
  return 0;
}

function rangeFrom(cidr: string, options: RangeAddOptions): Range {
  const { name, vlan, gateway, cooldown, blockSize } = options;
  return makeRange({
    cidr: parseCidr(cidr, 'subnet'),
    exclude: (options.exclude ?? []).map((text) => parseSpan(text, 'exclusion')),
    routes: (options.route ?? []).map(parseRoute),
    ...(options.namedOnly && { namedOnly: true }),
    ...(name !== undefined && { name }),
    ...(gateway !== undefined && { gateway: parseAddress(gateway, 'gateway') }),
    ...(vlan !== undefined && { vlan: wholeNumber(vlan, '--vlan', 'a VLAN ID from 1 to 4094') }),
    ...(cooldown !== undefined && { cooldownMs: parseDuration(cooldown, '--cooldown') }),
    ...(blockSize !== undefined && {
      blockSize: wholeNumber(blockSize, '--block-size', 'a number such as 16'),
    }),
  });
}

function wholeNumber(text: string, option: string, expected: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new CommandError(`${option} '${text}': expected ${expected}`);
}
