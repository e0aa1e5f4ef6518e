/**
 * Bundles (ONF TS-025, section 7.3.9): the switch carries out all of a bundle's changes at once, or
 * none of them. Meters and flushes cannot be in one. Pure.
 */
import { written, Writer } from './bytes.ts';
import { writeChange } from './changes.ts';
import { MESSAGE, writeMessage } from './header.ts';
import { barrier } from './hello.ts';
import type { Batch, Modification } from './program.ts';

/** OFPBCT_… */
const CONTROL = { open: 0, commit: 4, discard: 6 } as const;
/** OFPBF_ATOMIC and OFPBF_ORDERED: all or nothing, in the order of the changes. */
const ATOMIC_AND_ORDERED = 3;
/** A bundle is written in parts of about this size, of a thousand messages. */
const CHUNK_BYTES = 128 * 1024;

/** The xids of a bundle's messages. Errors about a change have its own. */
export interface BundleXids {
  /** Of the first change; the others follow. */
  readonly changes: number;
  readonly open: number;
  readonly barrier: number;
  readonly commit: number;
}

/** How many xids a bundle needs besides those of its changes. */
const CONTROL_XIDS = 3;
/** How many changes a bundle may have whose length nobody knows before. */
const MOST_CHANGES = 2 ** 24;
const most = ({ length }: Batch): number => length ?? MOST_CHANGES;
export const bundleXidCount = (changes: Batch): number => most(changes) + CONTROL_XIDS;

/** @param first of as many xids as {@link bundleXidCount} says */
export function bundleXids(first: number, changes: Batch): BundleXids {
  const open = first + most(changes);
  return { changes: first, open, barrier: open + 1, commit: open + 2 };
}

/** @param id chosen by the caller, unique among the bundles of its connection */
export const bundleControl = (id: number, control: keyof typeof CONTROL, xid: number): Buffer =>
  written((to) =>
    writeMessage(to, MESSAGE.bundleControl, xid, () => {
      to.u32(id);
      to.u16(CONTROL[control]);
      to.u16(ATOMIC_AND_ORDERED);
    }),
  );

/**
 * Returns the messages that fill a bundle, in parts, and a barrier: only after its answer does the
 * caller know that the switch has refused none. Open vSwitch would commit the others.
 * @throws RangeError for a value that its place has no room for, and for too many changes
 */
export function* fillBundle(id: number, changes: Batch, xids: BundleXids): Generator<Buffer> {
  const to = new Writer(2 * CHUNK_BYTES);
  to.bytes(bundleControl(id, 'open', xids.open));
  let xid = xids.changes;
  for (const change of changes) {
    if (xid === xids.open) throw new RangeError(`expected at most ${xids.open - xids.changes} changes`);
    writeBundleAdd(to, id, change, xid++);
    if (to.length >= CHUNK_BYTES) yield to.take();
  }
  to.bytes(barrier(xids.barrier));
  yield to.take();
}

function writeBundleAdd(to: Writer, id: number, change: Modification, xid: number): void {
  writeMessage(to, MESSAGE.bundleAdd, xid, () => {
    to.u32(id);
    to.zeros(2);
    to.u16(ATOMIC_AND_ORDERED);
    writeChange(to, change, xid);
  });
}
