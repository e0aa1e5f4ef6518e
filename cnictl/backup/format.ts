import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { decodeValue } from '../../ipam/records/decode.ts';
import { CommandError } from '../context/errors.ts';

/**
 * A backup is lines of JSON: the header, then one line for each key, sorted. Keys are relative to
 * `PREFIX/v1/`. Values are the texts as in etcd.
 */
export interface BackupRecord {
  readonly key: string;
  readonly value: string;
}

const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const headerSchema = v.object({
  kind: v.literal('cellnet-backup'),
  version: v.literal(1),
  etcdPrefix: text,
  /**
   * UID of the namespace kube-system, which identifies the cluster. Null when no API server
   * answered.
   */
  cluster: v.nullable(text),
  /** The etcd revision of all keys. */
  revision: text,
  takenAt: v.pipe(text, v.isoTimestamp()),
  /** Version of the program that wrote the file. */
  by: text,
  keys: count,
  /** Keys by the first part of their names: ranges, blocks, nodes, … */
  counts: v.record(text, count),
  /** Hex, over the header without this field and all lines. */
  sha256: text,
});
const recordSchema = v.strictObject({ key: v.pipe(text, v.nonEmpty()), value: text });

export type BackupHeader = v.InferOutput<typeof headerSchema>;

export interface Backup {
  readonly header: BackupHeader;
  readonly records: readonly BackupRecord[];
}

/** The header fields that the caller supplies. */
export type BackupSource = Pick<BackupHeader, 'etcdPrefix' | 'cluster' | 'revision' | 'takenAt' | 'by'>;

/** Returns the first part of a key's name. */
export const groupOf = (key: string): string => key.split('/')[0] ?? '';

export function countGroups(keys: Iterable<string>): Record<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(groupOf(key), (counts.get(groupOf(key)) ?? 0) + 1);
  return Object.fromEntries(counts);
}

/** Returns the file's lines with their line ends, header first. */
export function formatBackup(
  source: BackupSource,
  records: readonly BackupRecord[],
): { readonly header: BackupHeader; readonly lines: readonly string[] } {
  const counts = countGroups(records.map(({ key }) => key));
  const bare = { kind: 'cellnet-backup', version: 1, ...source, keys: records.length, counts } as const;
  const lines = records.map(({ key, value }) => `${JSON.stringify({ key, value })}\n`);
  const header = { ...bare, sha256: digestOf(bare, lines) };
  return { header, lines: [`${JSON.stringify(header)}\n`, ...lines] };
}

function digestOf(bare: object, lines: Iterable<string>): string {
  const hash = createHash('sha256').update(`${JSON.stringify(bare)}\n`);
  for (const line of lines) hash.update(line);
  return hash.digest('hex');
}

/** @throws CommandError when the file is no backup, is truncated, or was changed */
export function parseBackup(content: string, file: string): Backup {
  const fail = (what: string): CommandError =>
    new CommandError(`${file} cannot be restored: ${what}`, 'Name a whole file that `cnictl backup` wrote.');
  const lines = content.split(/(?<=\n)/);
  const first = parseLine(lines[0] ?? '');
  const decoded = decodeValue(headerSchema, first);
  if (!decoded.ok) throw fail(`line 1 is no header of a backup: ${decoded.problem.message}`);
  // Uses the header as read, because the checksum covers fields that a later version adds.
  const header = first as BackupHeader;
  const body = lines.slice(1);
  if (body.length !== header.keys)
    throw fail(`it has ${body.length} keys, and its header says ${header.keys}: it is not whole`);
  const records = body.map((line, i) => {
    const record = decodeValue(recordSchema, parseLine(line));
    if (!record.ok) throw fail(`line ${i + 2}: ${record.problem.message}`);
    return record.value;
  });
  const { sha256, ...bare } = header;
  if (digestOf(bare, body) !== sha256) throw fail('its checksum does not fit: it was changed');
  if (new Set(records.map(({ key }) => key)).size !== records.length) throw fail('a key stands in it twice');
  return { header, records };
}

/** Returns undefined for invalid JSON; the schema then reports what it expected. */
function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
