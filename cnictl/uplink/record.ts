/** The record of a move on this host's disk, from before its first step until it is confirmed. */
import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { readBoot } from '../../cni/host/boot.ts';
import { withFolder } from '../../cni/host/folder.ts';
import { tryLockByte } from '../../cni/netlink/libc.ts';
import { CommandError } from '../context/errors.ts';
import { readIfThere, replaceFile } from '../context/files.ts';
import type { UplinkMove } from '../context/uplink-host.ts';

const CARRIED = v.array(v.object({ text: v.string(), message: v.string() }));

const RECORD = v.object({
  v: v.literal(1),
  /** Of the boot in which the move was made. */
  bootId: v.string(),
  move: v.object({
    bridge: v.string(),
    uplink: v.string(),
    ovsdb: v.string(),
    baggage: v.object({ addresses: CARRIED, routes: CARRIED }),
    before: v.object({
      settings: v.optional(
        v.object({
          failMode: v.optional(v.string()),
          datapathType: v.string(),
          mac: v.optional(v.string()),
        }),
      ),
      attached: v.boolean(),
      marked: v.boolean(),
    }),
    acceptRa: v.optional(v.number()),
  }),
});

/** Bytes of the file of locks: one of each process that is at work on a move. */
export const BYTE_OF = { mover: 0n, watchdog: 1n } as const;

const fileIn = (stateDir: string): string => join(stateDir, 'uplink-move.json');

export interface MoveRecord {
  readonly move: UplinkMove;
  /** Whether the machine has been started since: then the kernel has forgotten the move. */
  readonly rebooted: boolean;
}

/** @throws CommandError when the record is there and cannot be read */
export function readMove(stateDir: string): MoveRecord | undefined {
  const text = readIfThere(fileIn(stateDir));
  if (text === undefined) return undefined;
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), RECORD), text);
  if (!parsed.success) {
    throw new CommandError(
      `'${fileIn(stateDir)}' is not the record of a move of addresses: ${parsed.issues[0].message}`,
      'Look at `ip address` and `ovs-vsctl show`, set them right by hand, and remove the file.',
    );
  }
  const { move, bootId } = parsed.output;
  return { move: move as UplinkMove, rebooted: bootId !== readBoot().bootId };
}

/** @throws CommandError */
export function writeMove(stateDir: string, move: UplinkMove): void {
  const record = { v: 1, bootId: readBoot().bootId, move };
  replaceFile(fileIn(stateDir), `${JSON.stringify(record, null, 2)}\n`);
}

export const removeMove = (stateDir: string): void => rmSync(fileIn(stateDir), { force: true });

/**
 * Takes a lock that ends with the process, however it ends.
 * @returns what gives it back; undefined when another process has it
 */
export function lockMove(stateDir: string, byte: bigint): (() => void) | undefined {
  const fd = withFolder(stateDir, () => openSync(join(stateDir, 'uplink-move.lock'), 'a', 0o600));
  if (tryLockByte(fd, byte)) return () => closeSync(fd);
  closeSync(fd);
  return undefined;
}
