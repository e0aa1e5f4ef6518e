import { familyName, formatCidr } from '../model/address.ts';
import { nextRestedMs } from '../model/block-counts.ts';
import type { Source } from '../model/demand.ts';
import { IpamError } from '../model/errors.ts';
import { rangesOfFamily, type Range } from '../model/range.ts';
import { rangeKey } from '../records/keys.ts';
import { notCounted, remedyFor } from '../records/unreadable.ts';
import type { RangeRecords } from '../store/ranges.ts';
import { isEligible, notIn } from './eligible.ts';
import { keptText } from './kept-text.ts';
import { lostRange } from './lost-range.ts';
import type { PickContext } from './pick-context.ts';

export function exhausted(
  context: Omit<PickContext, 'request'> & { readonly request: Source },
  known: RangeRecords,
): IpamError {
  const { ipam, request, family, blocks } = context;
  const name = familyName(family);
  const lost = lostRange(ipam.local, known);
  if (known.ranges.length + known.unreadable.length === 0) {
    return new IpamError(
      'exhausted',
      `no ${name} address for the pod: etcd holds no range${lost?.text ?? ''}`,
      {
        remedy: lost?.remedy ?? 'Add a range: cnictl range add 10.20.0.0/22 --gateway 10.20.0.1',
      },
    );
  }
  const ranges = rangesOfFamily(
    known.ranges.map(({ range }) => range),
    family,
  );
  const reasons = ranges.map((range) => whyNot(range, context));
  const now = ipam.effects.now();
  const waits = blocks.flatMap(({ block, range }) => {
    const wait = isEligible(range, context) ? nextRestedMs(block, now, range.cooldownMs) : undefined;
    return wait === undefined ? [] : [wait];
  });
  const seconds = Math.ceil(Math.min(...waits) / 1000);
  const rest = waits.length > 0 ? `; node '${request.node}' has one cooling, free in ${seconds} s` : '';
  const kept = keptText(blocks, (range) => isEligible(range, context), request.node, now);
  const which = reasons.length > 0 ? reasons.join(', ') : `there is no ${name} range`;
  return new IpamError(
    'exhausted',
    `no ${name} address left for node '${request.node}'${byRule(request)}: ${which}${rest}${kept}${notCounted(known.unreadable)}${lost?.text ?? ''}`,
    lost ? { remedy: lost.remedy } : remedyFor(known.unreadable),
  );
}

function whyNot(
  range: Range,
  context: Pick<PickContext, 'family' | 'fixed'> & { readonly request: Source },
): string {
  const { request } = context;
  if (!(request.ranges?.includes(range.name) ?? !range.namedOnly)) return `${range.name} (${notIn(request)})`;
  if (range.state === 'draining') return `${range.name} (draining)`;
  if (!isEligible(range, context))
    return `${range.name} (VLAN ${range.vlan ?? 'untagged'} is not the attachment's)`;
  return `${range.name} ${formatCidr(range.cidr)} (full: every block is claimed)`;
}

const byRule = ({ rule }: Source): string => (rule === undefined ? '' : ` by rule '${rule}'`);

/**
 * Refuses names of ranges that do not exist. One whose record cannot be read exists, and the others
 * serve.
 * @throws IpamError `not-found`
 */
export function checkRangeNames(request: Source, { ranges, unreadable }: RangeRecords): void {
  const names = ranges.map(({ range }) => range.name);
  const keys = new Set(unreadable.map(({ key }) => key));
  const unknown = (request.ranges ?? []).filter((name) => !names.includes(name) && !keys.has(rangeKey(name)));
  if (unknown.length === 0) return;
  const which = unknown.map((name) => `'${name}'`).join(', ');
  throw new IpamError(
    'not-found',
    `${request.rule === undefined ? 'ipam.ranges' : `rule '${request.rule}'`} names ${which}, which etcd does not hold: it has ${names.join(', ') || 'no range'}`,
  );
}
