import { join } from 'node:path';
import * as v from 'valibot';
import { decodeValue } from '../../ipam/records/decode.ts';
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

function versionOf(text: string | undefined): string | undefined {
  try {
    const result = decodeValue(identity, JSON.parse(text ?? ''));
    return result.ok ? result.value.version : undefined;
  } catch {
    return undefined;
  }
}

export const shortDigest = (folder: string, look: Look): string => look.digest(folder).slice(0, 12);

/** Returns the names that an interrupted copy left among the versions. */
export const halfMade = (versions: string, look: Look): string[] =>
  look.list(versions).filter((name) => /\.tmp(\.old)?$/.test(name));
