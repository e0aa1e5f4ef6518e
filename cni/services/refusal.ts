/** Part of a Service that is not served. All the rest of it is. */
export interface Refusal {
  /** `namespace/name` of the Service. */
  readonly service: string;
  /** Such as `the external IP 10.20.0.5`. */
  readonly what: string;
  readonly reason: string;
}

/** Most refusals that are kept of one Service: a hostile one may have 100,000 wrong addresses. */
const MOST_TOLD = 100;

/** Returns the first refusals of one Service, each once, and how many others there are. */
export function bounded(refusals: readonly Refusal[]): readonly Refusal[] {
  if (refusals.length < 2) return refusals;
  const unique = new Map(refusals.map((refusal) => [`${refusal.what} ${refusal.reason}`, refusal]));
  const all = [...unique.values()];
  const [first] = all;
  if (first === undefined || all.length <= MOST_TOLD) return all;
  const others = `${all.length - MOST_TOLD} other addresses, ports and endpoints`;
  return [
    ...all.slice(0, MOST_TOLD),
    { service: first.service, what: others, reason: `Only ${MOST_TOLD} refusals of a Service are listed.` },
  ];
}
