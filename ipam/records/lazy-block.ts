import type { Block, Slot, UsedSlot } from '../model/block.ts';
import { blockKey } from './keys.ts';
import { cidrOf, decodeBlockQuickly, FREE, RESERVED, USUAL_TIME } from './quick-block.ts';

/** A slot; of a used one only that it is used. */
export type SlotOutline = Exclude<Slot, UsedSlot> | Pick<UsedSlot, 'state'>;

const USED: SlotOutline = { state: 'used' };

const TEXT = String.raw`[^"\\\x00-\x1f]+`;
const COUNT = String.raw`(?:0|[1-9]\d{0,14})`;
const POD = `,"podNamespace":"${TEXT}","podName":"${TEXT}","podUid":"${TEXT}"`;
const OWNER = [
  String.raw`"containerId":"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}","ifname":"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}"`,
  `,"network":"${TEXT}","bootId":"${TEXT}"(?:${POD})?`,
].join('');
const HEAD = new RegExp(
  String.raw`^\{"v":1,"range":"(${TEXT})","cidr":"(${TEXT})","node":"(${TEXT})"` +
    String.raw`,"claimedAt":"(${USUAL_TIME})","sequence":(${COUNT}),"slots":\[`,
);
const USED_SLOT = new RegExp(
  String.raw`\{"state":"used","allocatedAt":"${USUAL_TIME}","sequence":${COUNT},"owner":\{${OWNER}\}\}`,
  'y',
);
const RELEASED_SLOT = new RegExp(
  String.raw`\{"state":"released","releasedAt":"(${USUAL_TIME})","sequence":(${COUNT})\}`,
  'y',
);

/** What a block has that is not decoded yet. */
interface Rest {
  readonly key: string;
  /** Empty once the slots are decoded. */
  text: string;
  slots: readonly Slot[] | undefined;
  readonly outline: readonly SlotOutline[];
}

/** Not enumerable, so that a copy with other slots has none. */
const REST = Symbol('rest');
type LazyBlock = Block & { readonly [REST]: Rest };

/** One for all blocks: V8 keeps the shape of an object for each getter. */
const SLOTS: PropertyDescriptor & ThisType<LazyBlock> = {
  enumerable: true,
  get() {
    return slotsOf(this[REST]);
  },
};

function slotsOf(rest: Rest): readonly Slot[] {
  rest.slots ??= decodeBlockQuickly(rest.key, rest.text).slots;
  rest.text = '';
  return rest.slots;
}

/**
 * Decodes a block of the very form that `encodeBlock` writes as `decodeBlock` does, but leaves its
 * owners in the text until somebody asks for the slots: who reads all blocks of a cluster counts
 * them, and looks at few. All of the text is checked at once.
 * @returns undefined if anything is unusual, valid or not
 */
export function lazyBlock(key: string, value: string): Block | undefined {
  const head = HEAD.exec(value);
  if (!head) return undefined;
  const [{ length }, rangeText = '', cidrText = '', nodeText = '', claimedAt = '', sequence] = head;
  const outline = outlineAt(value, length);
  const cidr = outline && cidrOf(cidrText);
  const range = copyOf(rangeText);
  if (!cidr || key !== blockKey(range, cidr)) return undefined;
  const node = copyOf(nodeText);
  const block = { range, cidr, node, claimedAt: Date.parse(claimedAt), sequence: Number(sequence) };
  const rest: Rest = { key, text: value, slots: undefined, outline };
  return Object.defineProperties(block, { slots: SLOTS, [REST]: { value: rest } }) as LazyBlock;
}

/**
 * V8 keeps the whole text alive for a part of it: a block would take twice the memory once its
 * slots are decoded.
 * @param text without anything that JSON escapes
 */
const copyOf = (text: string): string => JSON.parse(`"${text}"`) as string;

/** Returns what the slots of a block are. Does not decode those of {@link lazyBlock}. */
export const outlineOf = (block: Block): readonly SlotOutline[] =>
  isLazy(block) ? block[REST].outline : block.slots;

const isLazy = (block: Block): block is LazyBlock => REST in block;

/** So many blocks take a few milliseconds. */
const BLOCKS_AT_ONCE = 100;

/**
 * Decodes the slots of blocks, with pauses in which others can work: the first search of all owners
 * would take as long as all of it.
 */
export async function decodeAhead(
  blocks: readonly Block[],
  pause: (ms: number, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  for (let at = 0; at < blocks.length && !signal.aborted; at += BLOCKS_AT_ONCE) {
    for (const block of blocks.slice(at, at + BLOCKS_AT_ONCE)) if (isLazy(block)) slotsOf(block[REST]);
    await pause(1, signal);
  }
}

/** Returns the outlines of the slots that stand in the text from there to its end. */
function outlineAt(text: string, from: number): SlotOutline[] | undefined {
  const outline: SlotOutline[] = [];
  for (let at = from; ; at += 1) {
    if (text.startsWith('null', at)) {
      outline.push(FREE);
      at += 4;
    } else if (text.startsWith('"reserved"', at)) {
      outline.push(RESERVED);
      at += 10;
    } else {
      USED_SLOT.lastIndex = at;
      const isUsed = USED_SLOT.test(text);
      const slot = isUsed ? USED : releasedAt(text, at);
      if (!slot) return undefined;
      outline.push(slot);
      at = isUsed ? USED_SLOT.lastIndex : RELEASED_SLOT.lastIndex;
    }
    if (text[at] !== ',') return text.length === at + 2 && text.endsWith(']}') ? outline : undefined;
  }
}

function releasedAt(text: string, at: number): SlotOutline | undefined {
  RELEASED_SLOT.lastIndex = at;
  const [, time = '', sequence] = RELEASED_SLOT.exec(text) ?? [];
  if (sequence === undefined) return undefined;
  return { state: 'released', releasedAt: Date.parse(time), sequence: Number(sequence) };
}
