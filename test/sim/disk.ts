import type { AttachmentRecord, NodeRecords, PendingTeardown } from '../../cni/platform/node-records.ts';
import { CniError } from '../../cni/protocol/errors.ts';
import type { Attachment } from '../../ipam/model/attachment.ts';
import type { Fence } from '../../ipam/node/fence.ts';
import { Folder } from './folder.ts';
import type { Process } from './process.ts';
import type { Random } from './random.ts';

const FOLDERS = ['attachments', 'pending', 'addresses', 'fences', 'boots'] as const;
type Folders = Readonly<Record<(typeof FOLDERS)[number], Folder>>;

const foldersOf = (make: (name: keyof Folders) => Folder): Folders =>
  Object.fromEntries(FOLDERS.map((name) => [name, make(name)])) as Folders;

/** The disk of one machine. */
export class SimDisk {
  readonly #folders: Folders;

  constructor(folders = foldersOf(() => new Folder())) {
    this.#folders = folders;
  }

  /** Makes an image of the disk. */
  copy(): SimDisk {
    return new SimDisk(foldersOf((name) => this.#folders[name].copy()));
  }

  losePower(now: number, random: Random): void {
    for (const folder of Object.values(this.#folders)) folder.losePower(now, random);
  }

  /** Files that must be gone when the node's pods are. */
  get filesOfPods(): readonly string[] {
    return (['attachments', 'pending', 'addresses'] as const).flatMap((name) =>
      [...this.#folders[name].files.keys()].map((file) => `${name}/${file}`),
    );
  }

  /** Whether a deferred teardown of the container is recorded. */
  defers(containerId: string): boolean {
    return [...this.#folders.pending.files.keys()].some((name) => name.startsWith(`${containerId},`));
  }

  for(process: Process): NodeRecords {
    return new SimRecords(this.#folders, process);
  }
}

/** The node's records, as cni/host/node-state.ts keeps them. */
class SimRecords implements NodeRecords {
  readonly #folders: Folders;
  readonly #process: Process;

  constructor(folders: Folders, process: Process) {
    this.#folders = folders;
    this.#process = process;
  }

  saveAttachment(record: AttachmentRecord): void {
    this.#write('attachments', nameOf(record), record);
  }

  readAttachment(attachment: Attachment): AttachmentRecord | undefined {
    return this.#read('attachments', nameOf(attachment)) as AttachmentRecord | undefined;
  }

  listAttachments(): AttachmentRecord[] {
    return this.#readAll('attachments') as AttachmentRecord[];
  }

  removeAttachment(attachment: Attachment): void {
    this.uncarry(attachment);
    this.#write('attachments', nameOf(attachment), undefined);
  }

  carry(record: AttachmentRecord): void {
    const name = nameOf(record);
    for (const { address } of record.allocations ?? []) {
      const ip = withoutPrefix(address);
      const other = this.#recordOf(ip);
      if (other !== undefined && other !== name)
        throw new CniError('try-again-later', `address ${ip} is in use by another pod: ${other}`);
      if (other === undefined) this.#write('addresses', ip, name);
    }
  }

  uncarry(attachment: Attachment): void {
    const name = nameOf(attachment);
    const named = this.readAttachment(attachment)?.allocations?.map(({ address }) => withoutPrefix(address));
    for (const ip of named ?? this.carriedAddresses())
      if (this.#read('addresses', ip) === name) this.#write('addresses', ip, undefined);
  }

  carriedAddresses(): string[] {
    this.#process.mustStep();
    return [...this.#folders.addresses.files.keys()];
  }

  carrierOf(address: string): AttachmentRecord | undefined {
    const name = this.#recordOf(address);
    return name === undefined ? undefined : (this.#read('attachments', name) as AttachmentRecord);
  }

  isCarriedByOther(address: string, attachment: Attachment): boolean {
    const name = this.#recordOf(address);
    return name !== undefined && name !== nameOf(attachment);
  }

  readFence(place: string): Fence | undefined {
    return this.#read('fences', place) as Fence | undefined;
  }

  saveFence(place: string, fence: Fence): void {
    this.#write('fences', place, fence);
  }

  noteBoot(bootId: string): void {
    if (this.knowsBoot(bootId)) return;
    this.#write('boots', bootId, bootId);
    this.#folders.boots.sync();
  }

  knowsBoot(bootId: string): boolean {
    return this.#read('boots', bootId) !== undefined;
  }

  savePending(record: PendingTeardown): void {
    this.#write('pending', nameOf(record), record);
    this.#folders.pending.sync();
  }

  readPending(attachment: Attachment): PendingTeardown | undefined {
    return this.#read('pending', nameOf(attachment)) as PendingTeardown | undefined;
  }

  listPending(): PendingTeardown[] {
    return (this.#readAll('pending') as PendingTeardown[]).sort((a, b) => a.until - b.until);
  }

  countPending(): number {
    return this.#folders.pending.files.size;
  }

  removePending(attachment: Attachment): void {
    this.#write('pending', nameOf(attachment), undefined);
  }

  sweepUnfinished(): void {
    for (const ip of this.carriedAddresses())
      if (this.#recordOf(ip) === undefined) this.#write('addresses', ip, undefined);
  }

  /** Returns the record that the address is entered for, if it exists. */
  #recordOf(address: string): string | undefined {
    const name = this.#read('addresses', address) as string | undefined;
    return name !== undefined && this.#folders.attachments.files.has(name) ? name : undefined;
  }

  #write(folder: keyof Folders, name: string, content: unknown): void {
    this.#process.mustStep();
    // A copy as a file has it: what the program does to its own value later reaches no disk.
    const copy: unknown = content === undefined ? undefined : JSON.parse(JSON.stringify(content));
    this.#folders[folder].write(name, copy, this.#process.sim.scheduler.time);
  }

  #read(folder: keyof Folders, name: string): unknown {
    this.#process.mustStep();
    return this.#folders[folder].files.get(name);
  }

  #readAll(folder: keyof Folders): unknown[] {
    this.#process.mustStep();
    return [...this.#folders[folder].files.values()];
  }
}

const nameOf = ({ containerId, ifname }: Attachment): string => `${containerId},${ifname}`;

const withoutPrefix = (address: string): string => address.split('/')[0] ?? address;
