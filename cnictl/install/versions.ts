import { join } from 'node:path';
import * as v from 'valibot';
import { decodeValue } from '../../ipam/records/decode.ts';
import { compareVersions } from '../../ipam/settings/version-order.ts';
import { CommandError } from '../context/errors.ts';
import type { Look } from '../context/file-access.ts';

const PROGRAMS = ['cellnet', 'cellnet-ipam', 'cellnetd', 'cnictl'];

const identity = v.object({
  name: v.literal('cellnet'),
  version: v.pipe(v.string(), v.regex(/^[0-9A-Za-z.+-]+$/)),
});

/**
 * Returns the folder name of a dist/: its version and a digest of its content, so that two builds
 * of one version differ.
 * @throws CommandError when the folder is no complete dist/ of cellnet
 */
export function versionName(dist: string, look: Look): string {
  const missing = PROGRAMS.map((name) => join('bin', name)).filter((path) => !look.kind(join(dist, path)));
  const version = versionOf(look.read(join(dist, 'package.json')));
  if (version !== undefined && missing.length === 0) return `${version}-${shortDigest(dist, look)}`;
  throw new CommandError(
    `'${dist}' is no dist/ of cellnet: it lacks ${missing.join(', ') || 'a package.json with name and version'}`,
    'Build it with npm run build, and name it by --from.',
  );
}

const abilities = v.object({ cellnet: v.object({ notifies: v.literal(true) }) });

/**
 * Tells whether the agent of a dist/ notifies systemd (sd_notify(3)). Its package.json says so:
 * earlier releases do not, and a newer cnictl may install them.
 */
export function notifiesSystemd(dist: string, look: Look): boolean {
  try {
    return decodeValue(abilities, JSON.parse(look.read(join(dist, 'package.json')) ?? '')).ok;
  } catch {
    return false;
  }
}

function versionOf(text: string | undefined): string | undefined {
  try {
    const result = decodeValue(identity, JSON.parse(text ?? ''));
    return result.ok ? result.value.version : undefined;
  } catch {
    return undefined;
  }
}

/** Length of the digest in a version's folder name. */
const DIGEST = 12;

export const shortDigest = (folder: string, look: Look): string => look.digest(folder).slice(0, DIGEST);

/** Returns the names that an interrupted copy left among the versions. */
export const halfMade = (versions: string, look: Look): string[] =>
  look.list(versions).filter((name) => /\.tmp(\.old)?$/.test(name));

/** Returns the version that a folder's name states. */
export const versionIn = (name: string): string => name.slice(0, -DIGEST - 1);

/**
 * Tells whether a version's folder name is of an earlier release than the other's, by the rules of
 * semver.org. Two builds of one release have no order.
 */
export const isOlder = (name: string, other: string): boolean =>
  (compareVersions(versionIn(name), versionIn(other)) ?? 0) < 0;

/** Returns the line that says which version replaces which. */
export function fromTo(before: string, now: string): string {
  const order = compareVersions(versionIn(before), versionIn(now)) ?? 0;
  const kind = order < 0 ? 'newer' : order > 0 ? 'older' : 'another build';
  return `cellnet ${before} -> ${now} (${kind})`;
}
