import { CniError } from './errors.ts';

/** Versions of the CNI specification that both plugins support, oldest first. */
export const SUPPORTED_VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof SUPPORTED_VERSIONS)[number];
export const LATEST: CniVersion = '1.1.0';

/** The versions that introduced verbs after 0.3.0 (CNI SPEC, "Changes"). */
const SINCE = { CHECK: '0.4.0', GC: '1.1.0', STATUS: '1.1.0' } as const;

export function isSupported(version: string): version is CniVersion {
  return SUPPORTED_VERSIONS.some((each) => each === version);
}

/** @throws CniError 1 with the supported versions in `details` */
export function checkVersion(version: unknown): CniVersion {
  if (typeof version === 'string' && isSupported(version)) return version;
  const found = version === undefined ? 'absent' : JSON.stringify(version);
  throw new CniError(
    'incompatible-version',
    `cniVersion is ${found}: expected one of ${SUPPORTED_VERSIONS.join(', ')}`,
    `supported versions: ${SUPPORTED_VERSIONS.join(', ')}`,
  );
}

export function isBefore(version: CniVersion, other: CniVersion): boolean {
  return SUPPORTED_VERSIONS.indexOf(version) < SUPPORTED_VERSIONS.indexOf(other);
}

/** @throws CniError 1 when the configuration's version lacks the verb */
export function checkVerbIn(verb: string, version: CniVersion): void {
  const since = Object.hasOwn(SINCE, verb) ? SINCE[verb as keyof typeof SINCE] : undefined;
  if (since && isBefore(version, since)) {
    throw new CniError(
      'incompatible-version',
      `${verb} needs cniVersion ${since} or later: the configuration has ${version}`,
    );
  }
}
