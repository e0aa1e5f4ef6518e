import { cidrContains, familyName, type Family } from '../model/address.ts';
import { annotationKey } from '../model/annotations.ts';
import type { Source } from '../model/demand.ts';
import { IpamError } from '../model/errors.ts';
import type { Range } from '../model/range.ts';
import { notCounted, remedyFor } from '../records/unreadable.ts';
import type { RangeRecords } from '../store/ranges.ts';
import type { AllocationRequest } from './allocation.ts';
import type { FixedVlan, PickContext } from './pick-context.ts';

/** Returns whether new addresses of the family may come from the range. */
export function isEligible(
  range: Range,
  {
    request,
    family,
    fixed,
  }: Pick<PickContext, 'family' | 'fixed'> & {
    readonly request: Pick<AllocationRequest, 'ranges' | 'annotated'>;
  },
): boolean {
  return (
    range.cidr.base.family === family &&
    range.state === 'active' &&
    (request.ranges === undefined
      ? !range.namedOnly
      : request.ranges.includes(range.name) && !(request.annotated?.onlyOpen && range.namedOnly)) &&
    (fixed === undefined || fixed.vlan === range.vlan)
  );
}

/**
 * Returns the VLANs on which every family has an eligible range, in the order of the ranges.
 * @throws IpamError `exhausted` if there is none
 */
export function commonVlans(
  request: Pick<Source, 'ranges' | 'requested' | 'rule' | 'annotated'>,
  families: readonly Family[],
  { ranges: entries, unreadable }: RangeRecords,
): NonNullable<FixedVlan>[] {
  const ranges = entries.map(({ range }) => range);
  const vlans = [...new Set(ranges.map((range) => range.vlan))].map((vlan) => ({ vlan }));
  const common = vlans.filter((fixed) =>
    families.every((family) => ranges.some((range) => isEligible(range, { request, family, fixed }))),
  );
  // A requested address decides the VLAN. pickRequested refuses one in no range, with the reason.
  const decided = common.filter(({ vlan }) =>
    (request.requested ?? []).every((address) =>
      ranges.some((range) => range.vlan === vlan && cidrContains(range.cidr, address)),
    ),
  );
  if (decided.length > 0) return decided;
  if (common.length > 0) return common;
  const known = ranges.map((range) => {
    const listed = request.ranges?.includes(range.name) ?? !range.namedOnly;
    const about = [familyName(range.cidr.base.family), vlanText(range), range.state];
    return `${range.name} (${[...about, ...(listed ? [] : [notIn(request)])].join(', ')})`;
  });
  throw new IpamError(
    'exhausted',
    `no VLAN has an active range of ${families.map(familyName).join(' and of ')} for ${request.rule === undefined ? 'this network' : `rule '${request.rule}'`}: ${known.join(', ') || 'etcd holds no range'}${notCounted(unreadable)}`,
    remedyFor(unreadable),
  );
}

export const vlanText = (range: Range): string =>
  range.vlan === undefined ? 'untagged' : `VLAN ${range.vlan}`;

/** Says who leaves a range out. */
export function notIn({ rule, ranges, annotated }: Pick<Source, 'rule' | 'ranges' | 'annotated'>): string {
  if (annotated && Object.values(annotated.by).some((kinds) => kinds.includes('ranges')))
    return `not in annotation ${annotationKey('ranges')} of the pod`;
  if (rule !== undefined) return `not in rule '${rule}'`;
  return ranges === undefined ? 'only for those who name it' : 'not in ipam.ranges';
}
