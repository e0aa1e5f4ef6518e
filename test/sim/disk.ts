import type { AttachmentRecord, NodeRecords, PendingTeardown } from '../../cni/platform/node-records.ts';
import type { Attachment } from '../../ipam/model/attachment.ts';
import type { Process } from './process.ts';
import type { Random } from './random.ts';

/** The kernel writes changed files to the disk after about this time, in milliseconds. */
const WRITTEN_BACK_AFTER_MS = 5_000;

/** Files of one folder. What is written counts as durable only after a sync, or after a while. */
class Folder {
  readonly files = new Map<string, string>();
  /** Files changed since the last sync: what the disk has of them, and since when. */
  readonly #unsynced = new Map<string, { readonly was: string | undefined; readonly since: number }>();

  write(name: string, content: string | undefined, now: number): void {
    if (!this.#unsynced.has(name)) this.#unsynced.set(name, { was: this.files.get(name), since: now });
    if (content === undefined) this.files.delete(name);
    else this.files.set(name, content);
  }

  sync(): void {
    this.#unsynced.clear();
  }

  /** Loses power: of recent changes, some have not reached the disk. */
  losePower(now: number, random: Random): void {
    for (const [name, { was, since }] of this.#unsynced) {
      if (now - since > WRITTEN_BACK_AFTER_MS || random.chance(0.5)) continue;
      if (was === undefined) this.files.delete(name);
      else this.files.set(name, was);
    }
    this.#unsynced.clear();
  }

  copy(): Folder {
    const copy = new Folder();
    for (const [name, content] of this.files) copy.files.set(name, content);
    return copy;
  }
}

/** The disk of one machine, with the node's records as cni/host/node-state.ts keeps them. */
export class SimDisk {
  #attachments = new Folder();
  #pending = new Folder();

  /** Makes an image of the disk. */
  copy(): SimDisk {
    const copy = new SimDisk();
    copy.#attachments = this.#attachments.copy();
    copy.#pending = this.#pending.copy();
    return copy;
  }

  losePower(now: number, random: Random): void {
    this.#attachments.losePower(now, random);
    this.#pending.losePower(now, random);
  }

  get fileNames(): readonly string[] {
    return [
      ...[...this.#attachments.files.keys()].map((name) => `attachments/${name}`),
      ...[...this.#pending.files.keys()].map((name) => `pending/${name}`),
    ];
  }

  for(process: Process): NodeRecords {
    const now = (): number => process.sim.scheduler.time;
    const write = (folder: Folder, name: string, record: object | undefined): void => {
      process.mustStep();
      folder.write(name, record && JSON.stringify(record), now());
    };
    const read = (folder: Folder, name: string): unknown => {
      process.mustStep();
      const content = folder.files.get(name);
      return content === undefined ? undefined : JSON.parse(content);
    };
    const readAll = (folder: Folder): unknown[] => {
      process.mustStep();
      return [...folder.files.values()].map((content): unknown => JSON.parse(content));
    };
    const [attachments, pending] = [this.#attachments, this.#pending];
    return {
      saveAttachment: (record) => write(attachments, nameOf(record), record),
      readAttachment: (attachment) => read(attachments, nameOf(attachment)) as AttachmentRecord | undefined,
      listAttachments: () => readAll(attachments) as AttachmentRecord[],
      removeAttachment: (attachment) => write(attachments, nameOf(attachment), undefined),
      savePending: (record) => {
        write(pending, nameOf(record), record);
        pending.sync();
      },
      readPending: (attachment) => read(pending, nameOf(attachment)) as PendingTeardown | undefined,
      listPending: () => (readAll(pending) as PendingTeardown[]).sort((a, b) => a.until - b.until),
      countPending: () => pending.files.size,
      removePending: (attachment) => write(pending, nameOf(attachment), undefined),
      sweepUnfinished: () => undefined,
    };
  }
}

const nameOf = ({ containerId, ifname }: Attachment): string => `${containerId},${ifname}`;
