import { createHash } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type * as v from 'valibot';
import type { Attachment } from '../../ipam/model/attachment.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { decodeValue } from '../../ipam/records/decode.ts';
import {
  attachmentRecord,
  pendingRecord,
  type AttachmentRecord,
  type NodeRecords,
  type PendingTeardown,
} from '../platform/node-records.ts';
import { CniError } from '../protocol/errors.ts';
import { withFolder } from './folder.ts';

/** As writeRecord names what it has not finished. */
const UNFINISHED = /\.\d+\.tmp$/;
const UNFINISHED_AFTER_MS = 60_000;

/**
 * The node's own records, below `/var/lib/cellnet/`: one small JSON file for each attachment and each teardown that
 * is still to be finished. Only the latter must survive a power cut: they are synced to the disk.
 */
export class NodeState implements NodeRecords {
  readonly #attachments: string;
  readonly #pending: string;
  readonly #complain: (what: string) => void;

  /** @param complain is told of a record that cannot be read, which then counts as absent, or not removed */
  constructor(dir: string, complain: (what: string) => void) {
    this.#complain = complain;
    this.#attachments = join(dir, 'attachments');
    this.#pending = join(dir, 'pending');
  }

  saveAttachment(record: AttachmentRecord): void {
    writeRecord(this.#attachments, fileOf(record), record, false);
  }

  /** Undefined where there is none, or none that can be read (it was cut short): then the configuration must do. */
  readAttachment(attachment: Attachment): AttachmentRecord | undefined {
    return this.#read(attachmentRecord, join(this.#attachments, fileOf(attachment)));
  }

  /** Every record that can be read. */
  listAttachments(): AttachmentRecord[] {
    return filesOf(this.#attachments).flatMap(
      (file) => this.#read(attachmentRecord, join(this.#attachments, file)) ?? [],
    );
  }

  /** One that cannot be removed is told aside: it says what an ADD used, not that something is there. */
  removeAttachment(attachment: Attachment): void {
    const path = join(this.#attachments, fileOf(attachment));
    try {
      rmSync(path, { force: true });
    } catch (error) {
      this.#complain(`${path}: ${messageOf(error)}`);
    }
  }

  /** Durable when it returns: file and folder are synced. @throws CniError 5 */
  savePending(record: PendingTeardown): void {
    writeRecord(this.#pending, fileOf(record), record, true);
  }

  readPending(attachment: Attachment): PendingTeardown | undefined {
    return this.#read(pendingRecord, join(this.#pending, fileOf(attachment)));
  }

  /** What is still to be torn down, oldest first. */
  listPending(): PendingTeardown[] {
    return filesOf(this.#pending)
      .flatMap((file) => this.#read(pendingRecord, join(this.#pending, file)) ?? [])
      .sort((a, b) => a.until - b.until);
  }

  /** How many teardowns are still to be finished, readable or not. @throws CniError 5 */
  countPending(): number {
    return filesOf(this.#pending).length;
  }

  /** Removes what writes that were killed have left beside the records. A write takes milliseconds. @param now milliseconds since 1970 */
  sweepUnfinished(now: number): void {
    for (const folder of [this.#attachments, this.#pending]) {
      for (const path of entriesOf(folder).flatMap((file) =>
        UNFINISHED.test(file) ? join(folder, file) : [],
      )) {
        const changedAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now;
        if (Math.abs(now - changedAt) > UNFINISHED_AFTER_MS) rmSync(path, { force: true });
      }
    }
  }

  #read<T extends v.GenericSchema>(schema: T, path: string): v.InferOutput<T> | undefined {
    try {
      // Mostly there is none, and an exception takes longer than a look.
      if (!statSync(path, { throwIfNoEntry: false })) return undefined;
      const result = decodeValue(schema, JSON.parse(readFileSync(path, 'utf8')));
      if (result.ok) return result.value;
      this.#complain(`${path}: ${result.problem.message}`);
    } catch (error) {
      if (!isAbsent(error)) this.#complain(`${path}: ${messageOf(error)}`);
    }
    return undefined;
  }

  removePending(attachment: Attachment): void {
    rmSync(join(this.#pending, fileOf(attachment)), { force: true });
  }
}

/** Neither part has a comma, so no two attachments share a file. What is too long for a file name goes by its hash. */
function fileOf({ containerId, ifname }: Attachment): string {
  const name = `${containerId},${encodeURIComponent(ifname)}`;
  return `${name.length <= 200 ? name : createHash('sha256').update(name).digest('hex')}.json`;
}

const filesOf = (folder: string): string[] => entriesOf(folder).filter((file) => file.endsWith('.json'));

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw ioFailure(`cannot list ${folder}`, error);
  }
}

/** Whole or not at all: written beside, then renamed. */
function writeRecord(folder: string, file: string, record: object, durable: boolean): void {
  const path = join(folder, file);
  const beside = `${path}.${process.pid}.tmp`;
  try {
    const fd = withFolder(folder, () => openSync(beside, 'w', 0o600));
    try {
      writeFileSync(fd, JSON.stringify(record)); // All of it, or it throws.
      if (durable) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(beside, path);
    if (durable) syncFolder(folder);
  } catch (error) {
    rmSync(beside, { force: true });
    throw ioFailure(`cannot write ${path}`, error);
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';

function ioFailure(what: string, cause: unknown): CniError {
  const reason = messageOf(cause);
  return new CniError(
    'io-failure',
    `${what}: ${reason}`,
    'Check that the state folder (/var/lib/cellnet, or CELLNET_STATE_DIR) can be written and has room.',
    { cause },
  );
}
