import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { decodeValue } from '../../ipam/records/decode.ts';
import { CommandError } from '../context/errors.ts';
import { choicesSchema } from './choices.ts';

const path = v.pipe(v.string(), v.startsWith('/'));

/** Keeps members that a later version wrote. */
const manifestSchema = v.looseObject({
  v: v.literal(1),
  /** Names of folders below `versions`, the oldest first. */
  versions: v.array(v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9.+-]*$/))),
  /** Folders that the installation created, outermost first. */
  folders: v.array(path),
  links: v.array(path),
  /**
   * The SHA-256 of every content that install wrote. With another content, somebody edited the
   * file.
   */
  files: v.record(path, v.array(v.string())),
  /** The agent's last start: name of the version, SHA-256 of its unit. */
  agent: v.optional(v.strictObject({ version: v.string(), unit: v.string() })),
  options: v.optional(choicesSchema),
});

/**
 * Lists what an installation created, so that uninstall removes nothing else. Paths are the node's.
 */
export type Manifest = Readonly<v.InferOutput<typeof manifestSchema>>;

export const EMPTY: Manifest = { v: 1, versions: [], folders: [], links: [], files: {} };

/** @throws CommandError that names the file */
export function parseManifest(text: string, file: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw broken(file, 'it is not JSON', cause);
  }
  const result = decodeValue(manifestSchema, json);
  if (!result.ok) throw broken(file, result.problem.message);
  return result.value;
}

const broken = (file: string, reason: string, cause?: unknown): CommandError =>
  new CommandError(
    `${file}, the list of what was installed, cannot be used: ${reason}`,
    'Restore it, or remove it and what is installed by hand.',
    { cause },
  );

export const formatManifest = (manifest: Manifest): string => `${JSON.stringify(manifest, null, 2)}\n`;

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Tells whether an installation wrote this content to the file. */
export const wrote = ({ files }: Manifest, file: string, content: string): boolean =>
  files[file]?.includes(sha256(content)) ?? false;

type Made = Pick<Manifest, 'versions' | 'folders' | 'links' | 'files'>;

/** Returns the union of both. It drops no entry. */
export function merge(a: Manifest, b: Made): Manifest {
  const union = (x: readonly string[], y: readonly string[]): string[] => [
    ...x.filter((each) => !y.includes(each)),
    ...y,
  ];
  const files = { ...a.files };
  for (const [file, hashes] of Object.entries(b.files)) files[file] = union(files[file] ?? [], hashes);
  return {
    ...a,
    versions: union(a.versions, b.versions),
    folders: [...new Set([...a.folders, ...b.folders])].sort(),
    links: union(a.links, b.links),
    files,
  };
}
