import { cidrSpan, formatAddress, type Address, type Cidr } from '../model/address.ts';
import { nodeOf, type Block } from '../model/block.ts';
import {
  editRange,
  isTouched,
  refitBlock,
  reservationChange,
  touchedBlocks,
  type InTheWay,
  type RangeEdit,
  type ReservationChange,
} from '../model/edit-range.ts';
import { IpamError } from '../model/errors.ts';
import { ruleOf } from '../model/holder.ts';
import { podInterfaceOf } from '../model/keep.ts';
import type { Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { isIdle } from '../node/surplus.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { blockWrites } from '../records/block-writes.ts';
import { MAX_OPERATIONS } from '../records/history-record.ts';
import { blockKey, blocksOfRange, cidrOfBlockKey, nodeKey, rangeKey } from '../records/keys.ts';
import { encodeRange } from '../records/range-record.ts';
import { absent, put, same, unchanged, type Change, type Entry, type Guard } from '../records/transaction.ts';
import { returnBlock } from '../release/return-block.ts';
import { findRange } from '../store/ranges.ts';
import { retryLostRaces } from '../store/retry.ts';
import { scanAll } from '../store/store.ts';

/** etcd takes requests of 1.5 MB (`--max-request-bytes`). */
const MAX_BYTES = 1_000_000;

/** A change of a range, with all that it does to records. */
export interface RangeChange extends ReservationChange {
  readonly before: Range;
  readonly after: Range;
  readonly blocks: {
    /** Claimed blocks of which slots are reserved or freed. */
    readonly changed: readonly Cidr[];
    /** Claimed blocks of which no address is left for pods, and none rests: they are returned. */
    readonly returned: readonly Cidr[];
  };
}

interface PlannedChange extends Change {
  readonly change: RangeChange;
}

/** @throws IpamError `not-found`, `contention`, `store-…` */
export const setRangeState = (ipam: Ipam, name: string, state: Range['state']): Promise<Range> =>
  setRange(ipam, name, { state }).then(({ after }) => after);

/**
 * Changes a range together with those of its claimed blocks whose reserved slots it changes, in one
 * transaction: to every reader they agree at each moment. The transaction compares that no other
 * block that it touches was claimed since they were read. A claim compares the range.
 * @throws IpamError `in-use` for an address to reserve that a pod has or that is kept for one;
 *   `not-found`, `invalid`, `corrupt-record` for a touched block, `contention`, `store-…`
 */
export function setRange(ipam: Ipam, name: string, edit: RangeEdit): Promise<RangeChange> {
  let sent: RangeChange | undefined;
  return retryLostRaces(`setting range '${name}'`, ipam.effects, async () => {
    const planned = await planOnce(ipam, name, edit, sent);
    if (!planned) return undefined;
    const { change, guards, writes } = planned;
    if (writes.length === 0) return change;
    sent = change;
    return (await ipam.store.commit(guards, writes)) === undefined ? undefined : change;
  });
}

/** Returns what {@link setRange} would do. @throws as it does */
export const planRangeChange = (ipam: Ipam, name: string, edit: RangeEdit): Promise<RangeChange> =>
  retryLostRaces(`looking at range '${name}'`, ipam.effects, async () => {
    const planned = await planOnce(ipam, name, edit, undefined);
    return planned?.change;
  });

/**
 * @param sent what an earlier attempt wrote whose race seemed lost: the client repeats what got no
 *   answer, and may meet its own write
 * @returns undefined if the range was changed between two reads
 */
async function planOnce(
  ipam: Ipam,
  name: string,
  edit: RangeEdit,
  sent: RangeChange | undefined,
): Promise<PlannedChange | undefined> {
  const { range: before, entry } = await findRange(ipam, name);
  if (sent && encodeRange(sent.after) === entry.value) return { change: sent, guards: [], writes: [] };
  const after = editRange(before, edit, ipam.effects.now());
  const reservations = reservationChange(before, after);
  const nothing = { before, after, ...reservations, blocks: { changed: [], returned: [] } };
  const value = encodeRange(after);
  if (value === encodeRange(before)) return { change: nothing, guards: [], writes: [] };
  const own: Change = { guards: [unchanged(entry)], writes: [put(entry.key, value)] };
  if (reservations.reserved.length + reservations.freed.length === 0) return { change: nothing, ...own };
  const touched = await readTouched(ipam, before, entry, reservations);
  if (!touched) return undefined;
  const { changes, blocks } = await refit(ipam, after, touched.blocks);
  const all = {
    guards: [...own.guards, ...touched.guards, ...changes.flatMap(({ guards }) => guards)],
    writes: [...own.writes, ...changes.flatMap(({ writes }) => writes)],
  };
  checkSize(name, all, [...blocks.changed, ...blocks.returned]);
  return { change: { ...nothing, blocks }, ...all };
}

interface ReadEntry {
  readonly entry: Entry;
  readonly block: Block;
}

/** Most blocks that are compared one by one, claimed or not. A /22 in blocks of 16 has 64. */
const MOST_COMPARED = 100;

/**
 * Reads the claimed blocks that a change of reservations touches.
 * @returns with them, guards that no other of these blocks was claimed since; undefined if the
 *   range was changed since it was read
 * @throws IpamError `corrupt-record` for one of them, and for a record that may have an address of
 *   them
 */
async function readTouched(
  { store }: Ipam,
  before: Range,
  rangeEntry: Entry,
  reservations: ReservationChange,
): Promise<{ readonly blocks: readonly ReadEntry[]; readonly guards: readonly Guard[] } | undefined> {
  const { name } = before;
  const prefix = blocksOfRange(name);
  let revision = '0';
  const found = await scanAll(store, prefix, { keysOnly: true, onRevision: (seen) => (revision = seen) });
  const claimed = found.flatMap(({ key }) => {
    const cidr = cidrOfBlockKey(key);
    return cidr && isTouched(reservations, cidr) ? [key] : [];
  });
  const few = touchedBlocks(before, reservations, MOST_COMPARED)?.map((cidr) => blockKey(name, cidr));
  const keys = [...new Set([...(few ?? []), ...claimed])];
  const [now, ...entries] = await store.get([rangeKey(name), ...keys]);
  if (now?.value !== rangeEntry.value) return undefined;
  const decode = decodeBlockOf(before);
  return {
    blocks: entries.flatMap((entry) => (entry ? [{ entry, block: decode(entry.key, entry.value) }] : [])),
    guards: few
      ? keys.filter((_, i) => !entries[i]).map(absent)
      : // So many are compared as one: each change of a block of the range is in the way.
        [{ kind: 'nothing-newer', prefix, revision }],
  };
}

/** @throws IpamError `in-use`; `corrupt-record` for the index entry of a block to return */
async function refit(
  { store, effects }: Ipam,
  after: Range,
  touched: readonly ReadEntry[],
): Promise<{ readonly changes: readonly Change[]; readonly blocks: RangeChange['blocks'] }> {
  const inTheWay: (InTheWay & { readonly block: Block })[] = [];
  const refitted = touched.map(({ entry, block }) => {
    const found: InTheWay[] = [];
    const next = refitBlock(block, after, effects.now(), found);
    inTheWay.push(...found.map((each) => ({ ...each, block })));
    return { entry, before: block, next };
  });
  if (inTheWay.length > 0) throw inUse(after.name, inTheWay);
  // One with an address that rests stays the node's: its agent returns it later.
  const isWhole = ({ before, next }: (typeof refitted)[number]): boolean =>
    next.slots.every(({ state }) => state === 'reserved') &&
    // No agent returns one that is a rule's own.
    (ruleOf(before) !== undefined || isIdle({ block: before, range: after }, effects.now()));
  const whole = refitted.filter(isWhole);
  const others = refitted.filter((each) => !isWhole(each));
  const index = await store.get(whole.map(({ before }) => nodeKey(before.node, before.cidr)));
  return {
    changes: [
      // Without an address for pods it would count as claimed, and hide the room of another one.
      ...whole.map(({ entry, before }, i) => returnBlock(before, entry, index[i])),
      ...others.map(({ entry, before, next }) => ({
        guards: [same(entry)],
        writes: blockWrites([{ before, after: next }]),
      })),
    ],
    blocks: {
      changed: others.map(({ next }) => next.cidr),
      returned: whole.map(({ before }) => before.cidr),
    },
  };
}

/** Most addresses that a refusal names. */
const NAMED = 5;

function inUse(name: string, inTheWay: readonly (InTheWay & { readonly block: Block })[]): IpamError {
  const used = inTheWay.filter(({ slot }) => slot.state === 'used');
  const kept = inTheWay.filter(({ slot }) => slot.state === 'kept');
  const named = [...used, ...kept].slice(0, NAMED).map(hasText);
  const more = inTheWay.length > NAMED ? [`${inTheWay.length - NAMED} more are in use`] : [];
  const remedies = [
    ...(used.length > 0
      ? [
          'Delete the pod: its next one gets another address. If it is gone already: `cnictl check`. Then do the same again.',
        ]
      : []),
    ...(kept.length > 0 ? [`End what is kept: \`cnictl release ${addressesText(kept)}\`.`] : []),
  ];
  return new IpamError(
    'in-use',
    `range '${name}' cannot reserve addresses that pods have: ${[...named, ...more].join('; ')}`,
    { remedy: remedies.join(' ') },
  );
}

const addressesText = (those: readonly { readonly address: Address }[]): string =>
  those
    .slice(0, NAMED)
    .map(({ address }) => formatAddress(address))
    .join(' ');

function hasText({ address, slot, block }: InTheWay & { readonly block: Block }): string {
  const ip = formatAddress(address);
  if (slot.state === 'kept') {
    const { namespace, name } = slot.pod;
    return `${ip} is kept for pod ${namespace}/${name} by rule ${slot.keep.rule}`;
  }
  const pod = podInterfaceOf(slot.owner);
  const who = pod ? `pod ${pod.namespace}/${pod.name}` : `container ${slot.owner.containerId.slice(0, 12)}`;
  return `${who} on node ${nodeOf(block, slot)} has ${ip}`;
}

/** @throws IpamError `invalid` for more than etcd takes in one transaction */
function checkSize(name: string, { guards, writes }: Change, blocks: readonly Cidr[]): void {
  const bytes = [...guards, ...writes].reduce(
    (sum, each) => sum + ('key' in each ? each.key.length : 0) + ('value' in each ? each.value.length : 0),
    0,
  );
  const share = Math.min(MAX_OPERATIONS / Math.max(guards.length, writes.length), MAX_BYTES / bytes);
  if (share >= 1) return;
  const sorted = [...blocks].sort((a, b) => (a.base.value < b.base.value ? -1 : 1));
  const fits = sorted[Math.max(0, Math.floor(sorted.length * share * 0.9) - 1)];
  throw new IpamError(
    'invalid',
    `range '${name}': the change touches ${blocks.length} claimed blocks, more than etcd takes in one transaction`,
    {
      remedy: `Do it in parts: first only addresses up to ${fits ? formatAddress(cidrSpan(fits).last) : 'a few'}.`,
    },
  );
}
