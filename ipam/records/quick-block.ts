import { parseCidr, type Cidr } from '../model/address.ts';
import { isAttachment, type Owner } from '../model/attachment.ts';
import type { Block, Slot } from '../model/block.ts';
import { decodeBlock } from './block-record.ts';
import { MAX_SEQUENCE, SCHEMA_VERSION } from './codec.ts';
import { blockKey } from './keys.ts';

type Json = Readonly<Record<string, unknown>>;

export const FREE: Slot = { state: 'free' };
export const RESERVED: Slot = { state: 'reserved' };

const DAY = String.raw`(?:0[1-9]|1\d|2[0-8])`;
const LEAP_YEAR = String.raw`2\d(?:0[48]|[2468][048]|[13579][26])`;
const DATE = [
  String.raw`(?:19[7-9]|2\d\d)\d-(?:(?:0[1-9]|1[0-2])-${DAY}|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)`,
  `${LEAP_YEAR}-02-29`,
].join('|');

/**
 * Source of a regular expression for the times that `Date.toISOString` writes, of days that exist.
 * Leaves out those before 1970, from 3000 on, and a few leap days: the thorough decoder reads them.
 */
export const USUAL_TIME = String.raw`(?:${DATE})T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z`;
const TIME = new RegExp(`^${USUAL_TIME}$`);

/**
 * Decodes a block of the usual form as {@link decodeBlock} does, but faster, for callers that read
 * all blocks of a cluster.
 * @returns undefined if anything is unusual, valid or not. decodeBlock then decides and reports the
 *   problem.
 */
export function quickBlock(key: string, value: string): Block | undefined {
  const record = parse(value);
  if (!record || size(record) !== 7 || record['v'] !== SCHEMA_VERSION) return undefined;
  const { range, node, sequence, slots } = record;
  const claimedAt = time(record['claimedAt']);
  const cidr = cidrOf(record['cidr']);
  if (!isText(range) || !isText(node) || !isSequence(sequence) || claimedAt === undefined || !cidr)
    return undefined;
  if (!Array.isArray(slots) || key !== blockKey(range, cidr)) return undefined;
  const decoded: Slot[] = [];
  for (const each of slots as unknown[]) {
    const slot = slotOf(each);
    if (!slot) return undefined;
    decoded.push(slot);
  }
  return { range, cidr, node, claimedAt, sequence, slots: decoded };
}

/**
 * Decodes a block as decodeBlock does, those of the usual form faster.
 * @throws IpamError `corrupt-record`
 */
export const decodeBlockQuickly = (key: string, value: string): Block =>
  quickBlock(key, value) ?? decodeBlock(key, value);

function slotOf(value: unknown): Slot | undefined {
  if (value === null) return FREE;
  if (value === 'reserved') return RESERVED;
  if (!isObject(value) || !isSequence(value['sequence'])) return undefined;
  const { state, sequence } = value;
  if (state === 'used') {
    const allocatedAt = time(value['allocatedAt']);
    const owner = ownerOf(value['owner']);
    if (size(value) !== 4 || allocatedAt === undefined || !owner) return undefined;
    return { state, owner, allocatedAt, sequence };
  }
  const releasedAt = time(value['releasedAt']);
  // A slot set aside after a conflict is rare: decodeBlock handles it.
  if (state !== 'released' || size(value) !== 3 || releasedAt === undefined) return undefined;
  return { state, releasedAt, sequence };
}

/** Accepts an owner with all three pod fields or with none. */
function ownerOf(value: unknown): Owner | undefined {
  if (!isObject(value)) return undefined;
  const { containerId, ifname, network, bootId, podNamespace, podName, podUid } = value;
  if (!isText(containerId) || !isText(ifname) || !isText(network) || !isText(bootId)) return undefined;
  if (!isAttachment({ containerId, ifname })) return undefined;
  const fields = size(value);
  if (fields === 4) return { containerId, ifname, network, bootId };
  if (fields !== 7 || !isText(podNamespace) || !isText(podName) || !isText(podUid)) return undefined;
  return { containerId, ifname, network, bootId, podNamespace, podName, podUid };
}

function parse(value: string): Json | undefined {
  try {
    const json: unknown = JSON.parse(value);
    return isObject(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

export function cidrOf(value: unknown): Cidr | undefined {
  try {
    return isText(value) ? parseCidr(value) : undefined;
  } catch {
    return undefined;
  }
}

const time = (value: unknown): number | undefined =>
  typeof value === 'string' && TIME.test(value) ? Date.parse(value) : undefined;

const size = (value: Json): number => Object.keys(value).length;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const isSequence = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_SEQUENCE;
