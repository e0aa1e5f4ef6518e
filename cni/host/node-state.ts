import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { isAttachment, type Attachment } from '../../ipam/model/attachment.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { Fence } from '../../ipam/node/fence.ts';
import { decodeValue, type Decoded } from '../../ipam/records/decode.ts';
import {
  attachmentRecord,
  pendingRecord,
  type AttachmentRecord,
  type NodeRecords,
  type PendingTeardown,
} from '../platform/node-records.ts';
import { CniError } from '../protocol/errors.ts';
import { CarriedAddresses } from './carried.ts';
import { FileCache } from './file-cache.ts';
import { removeFile } from './folder.ts';
import { lookAt } from './look.ts';
import { attemptIo, entriesOf, filesOf, isAbsent, writeRecord } from './record-files.ts';

/** Matches the temporary files of writeRecord. */
const UNFINISHED = /\.\d+\.tmp$/;
const UNFINISHED_AFTER_MS = 60_000;
/** The form of `/proc/sys/kernel/random/boot_id`. */
const BOOT_ID = /^[0-9a-f-]{1,64}$/;
/** More than any node boots while an allocation of an early boot is still to be cleared. */
const BOOTS_KEPT = 100;
/** Twice the pods that a node is planned for. */
const ATTACHMENTS_KNOWN = 512;

const fenceRecord = v.looseObject({
  v: v.literal(1),
  clusterId: digits(),
  revision: digits(),
  generation: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});

function digits(): v.GenericSchema<string> {
  return v.pipe(v.string(), v.regex(/^\d+$/));
}

/** Returns the record in the text of a file. Throws SyntaxError for what is no JSON. */
type Parse<T> = (text: string) => Decoded<T>;

const parserOf =
  <S extends v.GenericSchema>(schema: S): Parse<v.InferOutput<S>> =>
  (text) =>
    decodeValue(schema, JSON.parse(text));
const parseAttachment = parserOf(attachmentRecord);
const parsePending = parserOf(pendingRecord);
const parseFence = parserOf(fenceRecord);

/**
 * The node's own records, below `/var/lib/cellnet/`: one small JSON file for each attachment and
 * each deferred teardown. Only the teardowns must survive a power cut, so only they are synced.
 */
export class NodeState implements NodeRecords {
  readonly #attachments: string;
  readonly #pending: string;
  readonly #carried: CarriedAddresses;
  readonly #fences: string;
  readonly #boots: string;
  /** A DEL reads its record several times, and a reconcile those of all pods. */
  readonly #known = new FileCache<AttachmentRecord>(ATTACHMENTS_KNOWN);
  readonly #complain: (what: string) => void;

  /**
   * @param complain receives each record that cannot be read, which then counts as absent, and each
   *   that cannot be removed
   */
  constructor(dir: string, complain: (what: string) => void) {
    this.#complain = complain;
    this.#attachments = join(dir, 'attachments');
    this.#pending = join(dir, 'pending');
    this.#carried = new CarriedAddresses(join(dir, 'addresses'), this.#attachments, fileOf);
    this.#fences = join(dir, 'fences');
    this.#boots = join(dir, 'boots');
  }

  saveAttachment(record: AttachmentRecord): void {
    const file = fileOf(record);
    writeRecord(this.#attachments, file, record, false);
    this.#known.add(join(this.#attachments, file), record);
  }

  /**
   * Returns undefined when there is no record or it cannot be read, for example because it is
   * truncated. The caller then relies on the configuration.
   */
  readAttachment(attachment: Attachment): AttachmentRecord | undefined {
    return this.#readAttachment(fileOf(attachment));
  }

  #readAttachment(file: string): AttachmentRecord | undefined {
    const path = join(this.#attachments, file);
    return this.#known.get(path, () => this.#read(parseAttachment, path));
  }

  /** Returns every readable record. */
  listAttachments(): AttachmentRecord[] {
    return this.#list(this.#attachments, (file) => this.#readAttachment(file));
  }

  /**
   * Reports a record that cannot be removed to `complain`, and does not throw: the record says what
   * an ADD used, not that something still exists.
   */
  removeAttachment(attachment: Attachment, uncarried = false): void {
    const path = join(this.#attachments, fileOf(attachment));
    try {
      if (!uncarried) this.uncarry(attachment);
      removeFile(path);
    } catch (error) {
      this.#complain(`${path}: ${messageOf(error)}`);
    }
  }

  carry(record: AttachmentRecord): void {
    const file = fileOf(record);
    for (const { address } of record.allocations ?? []) {
      const ip = withoutPrefix(address);
      const other = attemptIo(`cannot enter ${ip} as used`, () => this.#carried.enter(ip, file));
      if (other === undefined) continue;
      throw new CniError(
        'try-again-later',
        `address ${ip} is in use by another pod of this node: ${join(this.#attachments, other)}`,
        'The next ADD gets another address. `cnictl check` shows why etcd called it free.',
      );
    }
  }

  uncarry(attachment: Attachment): void {
    const file = fileOf(attachment);
    const named = this.readAttachment(attachment)?.allocations?.map(({ address }) => withoutPrefix(address));
    // Without its record only the entries themselves tell what the attachment used.
    for (const address of named ?? this.#carried.list()) this.#carried.leave(address, file);
  }

  carriedAddresses(): string[] {
    return attemptIo('cannot list the addresses in use', () => this.#carried.list());
  }

  carrierOf(address: string): AttachmentRecord | undefined {
    const file = this.#carried.recordOf(address);
    return file === undefined ? undefined : this.#readAttachment(file);
  }

  isCarriedByOther(address: string, attachment: Attachment): boolean {
    const file = attemptIo(`cannot look up ${address}`, () => this.#carried.recordOf(address));
    return file !== undefined && file !== fileOf(attachment);
  }

  readFence(place: string): Fence | undefined {
    return this.#read(parseFence, join(this.#fences, fenceFileOf(place)));
  }

  /** A fence that cannot be written is reported, and does not stop the call. */
  saveFence(place: string, fence: Fence): void {
    try {
      writeRecord(this.#fences, fenceFileOf(place), { v: 1, place, ...fence }, false);
    } catch (error) {
      this.#complain(messageOf(error));
    }
  }

  noteBoot(bootId: string): void {
    if (this.knowsBoot(bootId)) return;
    const known = entriesOf(this.#boots)
      .map((file) => ({
        file,
        at: statSync(join(this.#boots, file), { throwIfNoEntry: false })?.mtimeMs ?? 0,
      }))
      .sort((a, b) => b.at - a.at);
    writeRecord(this.#boots, bootId, { v: 1, bootId }, true);
    for (const { file } of known.slice(BOOTS_KEPT)) removeFile(join(this.#boots, file));
  }

  knowsBoot(bootId: string): boolean {
    return BOOT_ID.test(bootId) && existsSync(join(this.#boots, bootId));
  }

  /** Syncs file and folder before it returns, so the record is durable. Throws CniError 5. */
  savePending(record: PendingTeardown): void {
    writeRecord(this.#pending, fileOf(record), record, true);
  }

  readPending(attachment: Attachment): PendingTeardown | undefined {
    return this.#read(parsePending, join(this.#pending, fileOf(attachment)));
  }

  /** Returns the deferred teardowns, oldest first. Throws CniError 5. */
  listPending(): PendingTeardown[] {
    const read = (file: string): PendingTeardown | undefined =>
      this.#read(parsePending, join(this.#pending, file));
    return this.#list(this.#pending, read).sort((a, b) => a.until - b.until);
  }

  /** Returns the number of deferred teardowns, readable or not. Throws CniError 5. */
  countPending(): number {
    return filesOf(this.#pending).length;
  }

  /**
   * Removes temporary files that killed writers left beside the records, and entries of addresses
   * whose record is gone. A write takes milliseconds, so a temporary file that is a minute old is
   * abandoned.
   * @param now milliseconds since 1970
   */
  sweepUnfinished(now: number): void {
    this.#carried.sweep();
    for (const folder of [this.#attachments, this.#pending]) {
      for (const path of entriesOf(folder).flatMap((file) =>
        UNFINISHED.test(file) ? join(folder, file) : [],
      )) {
        const changedAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now;
        if (Math.abs(now - changedAt) > UNFINISHED_AFTER_MS) removeFile(path);
      }
    }
  }

  /** Returns every readable record of the folder that lies where its attachment's record lies. */
  #list<T extends Attachment>(folder: string, read: (file: string) => T | undefined): T[] {
    return filesOf(folder).flatMap((file) => {
      const record = read(file);
      if (record === undefined || file === fileOf(record)) return record ?? [];
      this.#complain(`${join(folder, file)}: holds the record of ${record.containerId}/${record.ifname}`);
      return [];
    });
  }

  #read<T>(parse: Parse<T>, path: string): T | undefined {
    try {
      if (!lookAt(path)) return undefined;
      const result = parse(readFileSync(path, 'utf8'));
      if (result.ok) return result.value;
      this.#complain(`${path}: ${result.problem.message}`);
    } catch (error) {
      if (!isAbsent(error)) this.#complain(`${path}: ${messageOf(error)}`);
    }
    return undefined;
  }

  removePending(attachment: Attachment): void {
    removeFile(join(this.#pending, fileOf(attachment)));
  }
}

/**
 * Returns the file name of the attachment. Neither part contains a comma, so no two attachments
 * share a file. A hash replaces a name that is too long for the file system, or whose parts could
 * lead out of the folder: they may come from etcd or Open vSwitch.
 */
function fileOf(attachment: Attachment): string {
  const { containerId, ifname } = attachment;
  const name = isAttachment(attachment) ? `${containerId},${encodeURIComponent(ifname)}` : '';
  if (name !== '' && name.length <= 200) return `${name}.json`;
  return `${createHash('sha256')
    .update(name || `${containerId}/${ifname}`)
    .digest('hex')}.json`;
}

/**
 * The hash of the place names the file, since the text of a place may hold what no file name does.
 */
const fenceFileOf = (place: string): string =>
  `${createHash('sha256').update(place).digest('hex').slice(0, 16)}.json`;

const withoutPrefix = (address: string): string => address.split('/')[0] ?? address;
