import * as v from 'valibot';
import {
  formatAddress,
  formatCidr,
  formatSpan,
  parseAddress,
  parseCidr,
  parseSpan,
  type Cidr,
} from './address.ts';
import type { Block, Owner, Slot } from './block.ts';
import { decodeValue } from './decode.ts';
import { IpamError, messageOf } from './errors.ts';
import { validateBlock } from './block.ts';
import { checkRange } from './new-range.ts';
import type { Range, Route } from './range.ts';
import { scanAll, type Entry, type Store } from './store.ts';

/**
 * Keys and values in etcd, below the configured prefix and `v1/`; docs/etcd-records.md describes them.
 * Values are JSON with a schema version. A reader refuses a version that it does not know: it never guesses.
 */
export const SCHEMA_VERSION = 1;

export const RANGES = 'ranges/';
export const BLOCKS = 'blocks/';
export const NODES = 'nodes/';
export const HISTORY = 'history/';

export const rangeKey = (name: string): string => `${RANGES}${name}`;
export const blocksOfRange = (range: string): string => `${BLOCKS}${range}/`;
export const blockKey = (range: string, cidr: Cidr): string => `${blocksOfRange(range)}${formatCidr(cidr)}`;
export const nodePrefix = (node: string): string => `${NODES}${node}/`;
export const nodeKey = (node: string, cidr: Cidr): string => `${nodePrefix(node)}${formatCidr(cidr)}`;

/** Subnet text of a block's key, `10.20.0.16/28`. */
export const cidrTextOfBlockKey = (key: string): string => key.split('/').slice(2).join('/');

export const schemaVersion = v.literal(SCHEMA_VERSION);
export const time = v.pipe(
  v.string(),
  v.isoTimestamp(),
  v.transform((text) => Date.parse(text)),
);
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
export const text = v.pipe(v.string(), v.nonEmpty());

const rangeRecord = v.strictObject({
  v: schemaVersion,
  name: text,
  cidr: text,
  gateway: v.nullable(text),
  vlan: v.nullable(count),
  exclude: v.array(text),
  routes: v.array(v.strictObject({ destination: text, via: v.nullable(text) })),
  blockSize: count,
  cooldownMs: count,
  state: v.picklist(['active', 'draining']),
});

const ownerRecord = v.strictObject({
  containerId: text,
  ifname: text,
  network: text,
  bootId: text,
  podNamespace: v.optional(text),
  podName: v.optional(text),
  podUid: v.optional(text),
});

const slotRecord = v.variant('state', [
  v.strictObject({ state: v.literal('used'), owner: ownerRecord, allocatedAt: time, sequence: count }),
  v.strictObject({
    state: v.literal('released'),
    releasedAt: time,
    sequence: count,
    conflictMac: v.optional(text),
  }),
]);

/** A slot that was never given out is `null`, a reserved one `"reserved"`: most are, and the value stays small. */
const blockRecord = v.strictObject({
  v: schemaVersion,
  range: text,
  cidr: text,
  node: text,
  claimedAt: time,
  sequence: count,
  slots: v.array(v.union([v.null(), v.literal('reserved'), slotRecord])),
});

const nodeRecord = v.strictObject({ v: schemaVersion, range: text, claimedAt: time });

export const isoTime = (ms: number): string => new Date(ms).toISOString();

export function encodeRange(range: Range): string {
  const record: v.InferInput<typeof rangeRecord> = {
    v: SCHEMA_VERSION,
    name: range.name,
    cidr: formatCidr(range.cidr),
    gateway: range.gateway ? formatAddress(range.gateway) : null,
    vlan: range.vlan ?? null,
    exclude: range.exclude.map(formatSpan),
    routes: range.routes.map((route) => ({
      destination: formatCidr(route.destination),
      via: route.via ? formatAddress(route.via) : null,
    })),
    blockSize: range.blockSize,
    cooldownMs: range.cooldownMs,
    state: range.state,
  };
  return JSON.stringify(record);
}

/** @throws IpamError `corrupt-record`, naming the key, the field and what was expected */
export function decodeRange(key: string, value: string): Range {
  const record = decode(rangeRecord, key, value);
  checkKey(key, rangeKey(record.name));
  const range = guarded(key, (): Range => ({
    name: record.name,
    cidr: parseCidr(record.cidr, 'cidr'),
    ...(record.gateway !== null && { gateway: parseAddress(record.gateway, 'gateway') }),
    ...(record.vlan !== null && { vlan: record.vlan }),
    exclude: record.exclude.map((span) => parseSpan(span, 'exclude')),
    routes: record.routes.map(decodeRoute),
    blockSize: record.blockSize,
    cooldownMs: record.cooldownMs,
    state: record.state,
  }));
  guarded(key, () => checkRange(range));
  return range;
}

/** A value under another's key would be somebody else's addresses. */
function checkKey(key: string, own: string): void {
  if (key === own) return;
  throw new IpamError('corrupt-record', `etcd key '${key}' holds the value of '${own}'`);
}

function decodeRoute(route: { destination: string; via: string | null }): Route {
  return {
    destination: parseCidr(route.destination, 'routes.destination'),
    ...(route.via !== null && { via: parseAddress(route.via, 'routes.via') }),
  };
}

export function encodeBlock(block: Block): string {
  const record: Omit<v.InferInput<typeof blockRecord>, 'slots'> = {
    v: SCHEMA_VERSION,
    range: block.range,
    cidr: formatCidr(block.cidr),
    node: block.node,
    claimedAt: isoTime(block.claimedAt),
    sequence: block.sequence,
  };
  return `${JSON.stringify(record).slice(0, -1)},"slots":[${block.slots.map(slotText).join(',')}]}`;
}

/** Texts of slots: they are values, and all but one of a block stay as they are when it changes. */
const slotTexts = new WeakMap<Slot, string>();

function slotText(slot: Slot): string {
  if (slot.state === 'free') return 'null';
  const known = slotTexts.get(slot);
  if (known !== undefined) return known;
  const text = JSON.stringify(encodeSlot(slot));
  slotTexts.set(slot, text);
  return text;
}

function encodeSlot(slot: Slot): v.InferInput<typeof blockRecord>['slots'][number] {
  switch (slot.state) {
    case 'free':
      return null;
    case 'reserved':
      return 'reserved';
    case 'used':
      return { ...slot, owner: { ...slot.owner }, allocatedAt: isoTime(slot.allocatedAt) };
    case 'released':
      return { ...slot, releasedAt: isoTime(slot.releasedAt) };
  }
}

/** @throws IpamError `corrupt-record` */
export function decodeBlock(key: string, value: string): Block {
  const record = decode(blockRecord, key, value);
  const block = guarded(key, () => ({
    range: record.range,
    cidr: parseCidr(record.cidr, 'cidr'),
    node: record.node,
    claimedAt: record.claimedAt,
    sequence: record.sequence,
    slots: record.slots.map(decodeSlot),
  }));
  checkKey(key, blockKey(block.range, block.cidr));
  return block;
}

function decodeSlot(slot: v.InferOutput<typeof blockRecord>['slots'][number]): Slot {
  if (slot === null) return { state: 'free' };
  if (slot === 'reserved') return { state: 'reserved' };
  if (slot.state === 'released') {
    const { conflictMac, ...rest } = slot;
    return { ...rest, ...(conflictMac !== undefined && { conflictMac }) };
  }
  return { ...slot, owner: withoutAbsent(slot.owner) };
}

/** The decoder yields optional fields as `undefined`; ours are absent (exactOptionalPropertyTypes). */
function withoutAbsent(owner: v.InferOutput<typeof ownerRecord>): Owner {
  const { podNamespace, podName, podUid, ...rest } = owner;
  return {
    ...rest,
    ...(podNamespace !== undefined && { podNamespace }),
    ...(podName !== undefined && { podName }),
    ...(podUid !== undefined && { podUid }),
  };
}

/**
 * A block rests on its range: one that does not fit is refused before anything of it is given out or taken back.
 * @throws IpamError `corrupt-record`
 */
export function checkBlock(key: string, block: Block, range: Range): void {
  const problems = validateBlock(block, range);
  if (problems.length > 0) {
    throw new IpamError('corrupt-record', `etcd key '${key}' is not sound: ${problems.join('; ')}`);
  }
}

/** A node's index of its blocks: where to look for them, so that no other node's are read. */
export interface NodeEntry {
  readonly range: string;
  readonly cidr: Cidr;
  readonly claimedAt: number;
}

export function encodeNodeEntry(entry: Omit<NodeEntry, 'cidr'>): string {
  const record: v.InferInput<typeof nodeRecord> = {
    v: SCHEMA_VERSION,
    range: entry.range,
    claimedAt: isoTime(entry.claimedAt),
  };
  return JSON.stringify(record);
}

/** @throws IpamError `corrupt-record` */
export function decodeNodeEntry(key: string, value: string): NodeEntry {
  const record = decode(nodeRecord, key, value);
  const cidrText = key.split('/').slice(2).join('/');
  return guarded(key, () => ({
    range: record.range,
    cidr: parseCidr(cidrText, 'key'),
    claimedAt: record.claimedAt,
  }));
}

/** @throws IpamError `corrupt-record`, naming the key, the field and what was expected */
export function decode<T extends v.GenericSchema>(schema: T, key: string, value: string): v.InferOutput<T> {
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch (cause) {
    throw new IpamError('corrupt-record', `etcd key '${key}' holds no JSON: ${excerpt(value)}`, { cause });
  }
  const result = decodeValue(schema, json);
  if (result.ok) return result.value;
  throw new IpamError('corrupt-record', `etcd key '${key}': ${result.problem.message}`);
}

/** @throws IpamError `corrupt-record`, naming the key */
export function guarded<T>(key: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const reason = messageOf(cause);
    throw new IpamError('corrupt-record', `etcd key '${key}': ${reason}`, { cause });
  }
}

const excerpt = (value: string): string =>
  JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);

/** A range with what a guard compares. */
export interface RangeEntry {
  readonly range: Range;
  readonly entry: Entry;
}

/** Every range, in the order in which they are used up: by name. @throws IpamError `corrupt-record`, `store-…` */
export async function readRanges(store: Store): Promise<RangeEntry[]> {
  const entries = await scanAll(store, RANGES);
  return entries.map((entry) => ({ range: decodeRange(entry.key, entry.value), entry }));
}
