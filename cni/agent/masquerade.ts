import type { Cidr } from '../../ipam/model/address.ts';
import type { Effects, Timer } from '../../ipam/model/effects.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { masqueradeTable, REMOVE_TABLE } from '../nftables/masquerade-table.ts';
import { NftError, type Nft } from '../nftables/nft.ts';
import type { Log } from '../platform/platform.ts';
import type { MasqueradeMetrics } from './masquerade-metrics.ts';

/** How often the agent looks at ranges and table, and tries again, in milliseconds. */
const EVERY_MS = 10_000;
/** The reason until the first look. */
const NOT_YET = 'the agent has not written it yet';

export interface MasqueradeParts {
  readonly nft: Nft;
  readonly metrics: Pick<MasqueradeMetrics, 'restored' | 'failed' | 'inPlace'>;
  readonly log: Log;
  readonly effects: Pick<Effects, 'schedule'>;
}

/** For `/healthz` of the agent's own socket, and so for `cnictl doctor`. */
export interface MasqueradeReport {
  readonly ranges: number;
  /** How often the agent put the table back since it began. */
  readonly restored: number;
  /** Why it is not in place. Absent when all is well. */
  readonly reason?: string;
}

/** Reads the subnets of all ranges. */
export type ReadRanges = () => Promise<readonly Cidr[]>;

/** What this agent wrote: the commands, and the table as nft printed it afterwards. */
interface Written {
  readonly commands: string;
  readonly table: string | undefined;
}

/**
 * Keeps the table of nftables by which the node masquerades connections that it forwards to pods,
 * as key `masqueradeForwarded` says. The table outlives the agent. A failure is told, and harms
 * nothing else.
 */
export class Masquerade {
  readonly #parts: MasqueradeParts;
  /** Undefined as long as no settings were read. */
  #wanted: { readonly ranges: ReadRanges | undefined } | undefined;
  #written: Written | undefined;
  /** The ranges when they were last read. */
  #cidrs: readonly Cidr[] | undefined;
  #restored = 0;
  /** Whether a table may be left that is not wanted: its removal failed. */
  #mayBeLeft = false;
  #reason: string | undefined = NOT_YET;
  #timer: Timer | undefined;
  #state: 'idle' | 'looks' | 'looks-again' | 'closed' = 'idle';

  constructor(parts: MasqueradeParts) {
    this.#parts = parts;
    parts.metrics.inPlace = () => this.report && this.#reason === undefined;
  }

  /** Returns undefined while the key is off. */
  get report(): MasqueradeReport | undefined {
    if (!this.#wanted?.ranges) return undefined;
    const reason = this.#reason;
    return {
      ranges: this.#cidrs?.length ?? 0,
      restored: this.#restored,
      ...(reason !== undefined && { reason }),
    };
  }

  /**
   * Does so from now on, and looks at once.
   * @param ranges undefined: the key is off, and the table goes
   */
  apply(ranges: ReadRanges | undefined): void {
    const isOff = this.#wanted !== undefined && this.#wanted.ranges === undefined;
    if (ranges === undefined && isOff) return;
    this.#wanted = { ranges };
    this.#soon();
  }

  /** The table stays. */
  close(): void {
    this.#state = 'closed';
    this.#timer?.cancel();
  }

  /** Looks at once, or again when the look under way is done. */
  #soon(): void {
    this.#timer?.cancel();
    if (this.#state === 'looks') this.#state = 'looks-again';
    if (this.#state === 'idle') void this.#turn();
  }

  async #turn(): Promise<void> {
    do {
      this.#state = 'looks';
      await this.#look();
    } while (this.#isAskedAgain());
    if (this.#isClosed()) return;
    this.#state = 'idle';
    if (this.#wanted?.ranges || this.#mayBeLeft)
      this.#timer = this.#parts.effects.schedule(EVERY_MS, () => void this.#turn());
  }

  #isAskedAgain(): boolean {
    return this.#state === 'looks-again';
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  async #look(): Promise<void> {
    const ranges = this.#wanted?.ranges;
    if (!ranges) return this.#remove();
    const { metrics, log } = this.#parts;
    try {
      const cidrs = (this.#cidrs = await this.#read(ranges));
      const isNews = await this.#keep(cidrs);
      if (isNews || this.#reason !== undefined)
        log.info('the node masquerades what it forwards to pods', { ranges: cidrs.length });
      this.#reason = undefined;
    } catch (error) {
      metrics.failed();
      this.#tell(messageOf(error));
    }
  }

  /** While etcd is away, the ranges are as they were. */
  async #read(ranges: ReadRanges): Promise<readonly Cidr[]> {
    try {
      return await ranges();
    } catch (error) {
      if (this.#cidrs) return this.#cidrs;
      throw new Error(`the ranges cannot be read: ${messageOf(error)}`, { cause: error });
    }
  }

  /**
   * Writes the table where it is not as it should be.
   * @returns whether it should be another one than before
   */
  async #keep(cidrs: readonly Cidr[]): Promise<boolean> {
    const { nft, metrics, log } = this.#parts;
    const commands = masqueradeTable(cidrs);
    const written = this.#written;
    const isNews = written?.commands !== commands;
    if (!isNews) {
      const table = await nft.listTable();
      if (table !== undefined && table === written.table) return false;
    }
    await nft.apply(commands);
    this.#written = { commands, table: await nft.listTable() };
    if (isNews) return true;
    this.#restored++;
    metrics.restored();
    log.warn('somebody else removed or changed the table inet cellnet of nftables: it is put back');
    return false;
  }

  async #remove(): Promise<void> {
    const { nft, log } = this.#parts;
    this.#written = undefined;
    this.#reason = NOT_YET;
    let isThere = this.#mayBeLeft;
    try {
      isThere = (await nft.listTable()) !== undefined;
      if (isThere) await nft.apply(REMOVE_TABLE);
      if (isThere) log.info('the node does not masquerade what it forwards to pods any more');
      this.#mayBeLeft = false;
    } catch (error) {
      // A node without nft, or whose kernel lacks nf_tables, has no table.
      const isNews = !this.#mayBeLeft;
      this.#mayBeLeft = isThere || (error instanceof NftError && error.isLate);
      if (this.#mayBeLeft && isNews)
        log.error('the table inet cellnet of nftables is left', { reason: messageOf(error) });
    }
  }

  /** Logs a reason once, not at each look. */
  #tell(reason: string): void {
    const key = 'masqueradeForwarded';
    if (reason !== this.#reason)
      this.#parts.log.error('the node cannot masquerade what it forwards to pods', { key, reason });
    this.#reason = reason;
  }
}
