/**
 * Which of a rule's own blocks have room. A pod of the rule finds one in one read, however many
 * blocks are full (docs/etcd-records.md).
 */
import * as v from 'valibot';
import { formatCidr, parseCidr, type Cidr, type Family } from '../model/address.ts';
import type { Block } from '../model/block.ts';
import { ruleOf } from '../model/holder.ts';
import { decode, guarded, schemaVersion, SCHEMA_VERSION, text } from './codec.ts';
import type { BlockChange } from './kept-record.ts';
import { del, put, type Put, type Write } from './transaction.ts';

export const OWN = 'own/';

/** Below it, the blocks of the rule with room. */
export const roomOf = (rule: string, family: Family): string => `${OWN}${rule}/${family}/`;

export const roomKey = (rule: string, cidr: Cidr): string =>
  `${roomOf(rule, cidr.base.family)}${formatCidr(cidr)}`;

/** Returns the name of the rule whose block a key is of. */
export const ruleOfRoomKey = (key: string): string => key.split('/')[1] ?? '';

/** Returns the family of the block that a key is of. */
export const familyOfRoomKey = (key: string): number => Number(key.split('/')[2]);

const roomRecord = v.looseObject({ v: schemaVersion, range: text });

/** A block of a rule, and its range. */
export interface RoomPlace {
  readonly range: string;
  readonly cidr: Cidr;
}

/** @throws IpamError `corrupt-record` */
export function decodeRoom(key: string, value: string): RoomPlace {
  const { range } = decode(roomRecord, key, value);
  const cidr = key.split('/').slice(3).join('/');
  return guarded(key, () => ({ range, cidr: parseCidr(cidr, 'key') }));
}

const putRoom = (key: string, range: string): Put =>
  put(key, JSON.stringify({ v: SCHEMA_VERSION, range } satisfies v.InferInput<typeof roomRecord>));

/**
 * Returns the key that says that the block of a rule has room; undefined where it has none, or a
 * node holds it. A slot counts as room while it rests, and while it is kept for a time.
 */
export function roomKeyOf(block: Block | undefined): string | undefined {
  if (!block) return undefined;
  const rule = ruleOf(block);
  if (rule === undefined) return undefined;
  const hasRoom = block.slots.some(
    (slot) =>
      slot.state === 'free' ||
      slot.state === 'released' ||
      (slot.state === 'kept' && slot.keep.forMs !== undefined),
  );
  return hasRoom ? roomKey(rule, block.cidr) : undefined;
}

/** Returns what a change of blocks writes to the keys that say which have room. */
export function roomWrites(changes: Iterable<BlockChange>): Write[] {
  return [...changes].flatMap(({ before, after }) => {
    const [had, has] = [roomKeyOf(before), roomKeyOf(after)];
    if (had === has) return [];
    return [
      ...(had === undefined ? [] : [del(had)]),
      ...(has === undefined || !after ? [] : [putRoom(has, after.range)]),
    ];
  });
}
