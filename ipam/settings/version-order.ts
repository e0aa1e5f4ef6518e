/**
 * The order of versions by semver.org, rule 11: `0.9.0` < `0.10.0-rc.2` < `0.10.0-rc.10` <
 * `0.10.0`. What follows a plus sign counts for nothing.
 */

/** The form that semver.org gives: no zeros in front of numbers, and no empty part. */
const FORM =
  /^(?<release>(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2})(?:-(?<pre>(?:0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*))*))?(?:\+[\dA-Za-z-]+(?:\.[\dA-Za-z-]+)*)?$/;

/**
 * Returns a number below 0 when `a` is the older version, above 0 when it is the newer one, and 0
 * when neither is. Undefined when one of both is no version, such as `from source`: then nothing is
 * known about their order.
 */
export function compareVersions(a: string, b: string): number | undefined {
  const [x, y] = [a, b].map((version) => FORM.exec(version)?.groups);
  if (!x || !y) return undefined;
  const byRelease = compareParts(partsOf(x['release']), partsOf(y['release']));
  if (byRelease !== 0) return byRelease;
  const [preX, preY] = [partsOf(x['pre']), partsOf(y['pre'])];
  // A release comes after all its pre-releases.
  if (preX.length === 0 || preY.length === 0) return preY.length - preX.length;
  return compareParts(preX, preY);
}

const partsOf = (dotted: string | undefined): string[] => dotted?.split('.') ?? [];

/** Compares part by part. When all parts of the one are in the other, the longer list is newer. */
function compareParts(a: readonly string[], b: readonly string[]): number {
  const at = a.findIndex((part, n) => part !== b[n]);
  const [x, y] = [a[at], b[at]];
  if (x === undefined || y === undefined) return a.length - b.length;
  const [isNumber, isOtherNumber] = [x, y].map((part) => /^\d+$/.test(part));
  if (isNumber && isOtherNumber) return x.length - y.length || (x < y ? -1 : 1);
  if (isNumber !== isOtherNumber) return isNumber ? -1 : 1;
  return x < y ? -1 : 1;
}
