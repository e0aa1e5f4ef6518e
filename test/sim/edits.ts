import { RANGES } from '../../ipam/records/keys.ts';
import { decodeRange } from '../../ipam/records/range-record.ts';
import { readRecord } from '../../ipam/records/unreadable.ts';
import type { Scene } from './acts.ts';
import type { BlockReader } from './changes.ts';
import type { Commit } from './etcd.ts';
import type { Violation } from './invariants.ts';
import type { Random } from './random.ts';
import type { Setup } from './setup.ts';
import { validateBlock } from '../../ipam/model/validate-block.ts';

/** Addresses of range blue, 10.1.0.0/27, that are excluded at once. */
const SPAN = { least: 1, most: 6 };

/**
 * Returns how the operator changes exclusions and gateway of range blue while pods come and go, in
 * a story with edits. Some meet pods that have the addresses, and are refused.
 */
export function editScenes(random: Random, { edits }: Setup, scenes: readonly Scene[]): Scene[] {
  if (!edits) return [];
  const endsAt = Math.max(20_000, ...scenes.map(({ at }) => at));
  const first = Math.max(0, ...scenes.map(({ id }) => id)) + 1;
  const address = (n: number): string => `10.1.0.${Math.min(30, n)}`;
  const made: Scene[] = [];
  const put = (at: number, options: string): void => {
    const act = { do: 'cnictl', argv: `range set blue ${options}` } as const;
    made.push({ id: first + made.length, at: Math.round(at), act });
  };
  for (let n = 3 + random.below(8); n > 0; n--) {
    const at = random.between(500, endsAt);
    const from = 1 + random.below(30);
    if (random.chance(0.3)) {
      put(at, random.chance(0.3) ? '--no-gateway' : `--gateway ${address(from)}`);
      continue;
    }
    const span = `${address(from)}-${address(from + SPAN.least - 1 + random.below(SPAN.most))}`;
    put(at, `--exclude ${span}`);
    if (random.chance(0.7)) put(at + random.between(0, 20_000), `--include ${span}`);
  }
  return made;
}

/** Returns the blocks that do not fit their range any more, after a transaction that changes it. */
export function misfits({ after, writes }: Commit, reader: BlockReader): Violation | undefined {
  for (const { key } of writes) {
    const entry = key.startsWith(RANGES) ? after.get(key) : undefined;
    const read = entry && readRecord(entry, decodeRange);
    if (!read || 'unreadable' in read) continue;
    const range = read.value;
    for (const block of reader.all(after)) {
      if (block.range !== range.name) continue;
      const [problem] = validateBlock(block, range);
      if (problem !== undefined) return { kind: 'unsound', text: problem, about: [] };
    }
  }
  return undefined;
}

/** Commands that take away what such a story leaves: pods must find room, when faults are over. */
export const UNDO_EDITS = ['range set blue --no-gateway --include 10.1.0.0/27'];
