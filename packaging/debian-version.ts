/**
 * Returns the Debian version of a version of semver.org. Debian sorts `1.0.0~rc.1` before `1.0.0`,
 * as semver.org sorts `1.0.0-rc.1` (deb-version(7)). The revision counts packages of one release.
 */
export function debianVersion(version: string, revision = 1): string {
  const [release = ''] = version.split('+');
  return `${release.replace('-', '~')}-${revision}`;
}

/** Debian's names of the architectures that Node names otherwise. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: 'i386',
  arm: 'armhf',
  ppc64: 'ppc64el',
};

export const debianArchitecture = (arch: string): string => ARCHITECTURES[arch] ?? arch;

/** What the newest entry of a debian/changelog says (deb-changelog(5)). */
export interface ChangelogHead {
  readonly version: string;
  /** Seconds since 1970. */
  readonly at: number;
}

/** @throws Error for text of another form */
export function changelogHead(text: string): ChangelogHead {
  const version = /^cellnet \(([^)]+)\) [a-z-]+; urgency=[a-z]+$/m.exec(text)?.[1];
  const date = /^ -- .+ <.+> {2}(.+)$/m.exec(text)?.[1];
  const at = Date.parse(date ?? '') / 1000;
  if (version === undefined || Number.isNaN(at))
    throw new Error(
      'debian/changelog: expected an entry "cellnet (VERSION) DISTRIBUTION; urgency=…" with a date',
    );
  return { version, at };
}
