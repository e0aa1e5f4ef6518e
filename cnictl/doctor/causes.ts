import { ETCD_AWAY, type Finding } from './finding.ts';

/** Fails only when no endpoint answers. */
const WHOLE_ETCD = 'etcd latency';

/**
 * Makes one line of the failures that have one cause, such as an etcd that is away. `also` of that
 * line names the other checks. Endpoints of etcd that fail while others answer keep their lines.
 */
export function mergeCauses(findings: readonly Finding[]): Finding[] {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings)
    if (finding.cause !== undefined)
      groups.set(finding.cause, [...(groups.get(finding.cause) ?? []), finding]);
  return findings.flatMap((finding) => {
    const group = groups.get(finding.cause ?? '') ?? [];
    const whole = group.find(({ check }) => check === WHOLE_ETCD);
    if (group.length < 2 || (finding.cause === ETCD_AWAY && !whole)) return [finding];
    const stays = whole ?? group[0];
    if (finding !== stays) return [];
    return [{ ...finding, also: group.filter((each) => each !== stays).map(({ check }) => check) }];
  });
}
