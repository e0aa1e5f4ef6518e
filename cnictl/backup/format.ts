import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { decodeValue } from '../../ipam/records/decode.ts';
import { CommandError } from '../context/errors.ts';

/**
 * A backup is lines of JSON: the header, then one line for each key, sorted. Keys are relative to `PREFIX/v1/`; values are the
 * texts as they stand in etcd.
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
  /** UID of the namespace kube-system: the cluster's identity. Null where no API server said it. */
  cluster: v.nullable(text),
  /** etcd's, of the one moment that all keys are of. */
  revision: text,
  takenAt: v.pipe(text, v.isoTimestamp()),
  /** Version of the program that wrote it. */
  by: text,
  keys: count,
  /** Keys by the first part of their names: ranges, blocks, nodes, … */
  counts: v.record(text, count),
  /** In hex, over the header without this field and all lines. */
  sha256: text,
});
const recordSchema = v.strictObject({ key: v.pipe(text, v.nonEmpty()), value: text });

export type BackupHeader = v.InferOutput<typeof headerSchema>;

export interface Backup {
  readonly header: BackupHeader;
  readonly records: readonly BackupRecord[];
}

/** What of a header its caller knows. */
export type BackupSource = Pick<BackupHeader, 'etcdPrefix' | 'cluster' | 'revision' | 'takenAt' | 'by'>;

/** First part of a key's name. */
export const groupOf = (key: string): string => key.split('/')[0] ?? '';

export function countGroups(keys: Iterable<string>): Record<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(groupOf(key), (counts.get(groupOf(key)) ?? 0) + 1);
  return Object.fromEntries(counts);
}

/** The file's lines, each with its end, header first. */
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

/** @throws CommandError where the file is no backup of ours, is cut off, or was changed */
export function parseBackup(content: string, file: string): Backup {
  const fail = (what: string): CommandError =>
    new CommandError(`${file} cannot be restored: ${what}`, 'Name a whole file that `cnictl backup` wrote.');
  const lines = content.split(/(?<=\n)/);
  const first = parseLine(lines[0] ?? '');
  const decoded = decodeValue(headerSchema, first);
  if (!decoded.ok) throw fail(`line 1 is no header of a backup: ${decoded.problem.message}`);
  // As it was read, not as the schema made it: fields that a later version adds count for the checksum.
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

/** Undefined for what is no JSON: the schema then says what was expected. */
function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
