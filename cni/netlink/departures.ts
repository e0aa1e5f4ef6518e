/** When links leave the kernel, told by the kernel itself: group RTNLGRP_LINK of rtnetlink(7). */
import { parseMessages } from 'netlink/dist/structs.js';
import { RawNetlinkSocket } from 'netlink/dist/raw.js';
import { NETLINK_ROUTE, RTM_DELLINK, RTNLGRP_LINK } from './kernel.ts';

/** struct ifinfomsg of linux/rtnetlink.h: the family (1 byte), padding (1), the type (2), the index (4), … */
const INDEX_OFFSET = 4;
const AF_UNSPEC = 0;

/**
 * Follows the links of this thread's namespace. The kernel announces a departure once the link has left its lists, carries nothing
 * any more and its name is free, both ends of a veth at once; what the one who asked for it then still waits for, 10–20 ms, is
 * the release of the link's memory (`netdev_run_todo`).
 */
export class Departures {
  readonly #socket: RawNetlinkSocket;
  readonly #waiting = new Map<number, Set<() => void>>();
  #failed = false;
  #closed = false;

  /** It does not keep the process alive. @throws Error of the addon */
  constructor() {
    this.#socket = new RawNetlinkSocket(NETLINK_ROUTE);
    this.#socket.unref();
    this.#socket.on('message', (datagram) => this.#read(datagram));
    // Told too much at once, the kernel leaves messages out (ENOBUFS): who waits then has the acknowledgement.
    this.#socket.on('error', () => (this.#failed = true));
  }

  /** Whether an error was met: it may have missed something, and is to be replaced. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Resolves when the link of that index is gone; never, where it is not told. `cancel` ends the wait. */
  of(index: number): { readonly gone: Promise<void>; readonly cancel: () => void } {
    if (this.#waiting.size === 0) this.#follow(true);
    const waiting = this.#waiting.get(index) ?? new Set();
    this.#waiting.set(index, waiting);
    let tell = (): void => undefined;
    const gone = new Promise<void>((resolve) => (tell = resolve));
    waiting.add(tell);
    return {
      gone,
      cancel: () => {
        waiting.delete(tell);
        if (waiting.size > 0 || this.#waiting.get(index) !== waiting) return;
        this.#waiting.delete(index);
        if (this.#waiting.size === 0) this.#follow(false);
      },
    };
  }

  /** Who waits still is told nothing more. Again: does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  /** Only as long as somebody waits, or each new link would cost the event loop a turn. Never throws: the acknowledgement tells as well. */
  #follow(on: boolean): void {
    if (this.#closed) return;
    try {
      if (on) this.#socket.addMembership(RTNLGRP_LINK);
      else this.#socket.dropMembership(RTNLGRP_LINK);
    } catch {
      this.#failed = true; // The addon closes itself when it cannot wait for the socket any more.
    }
  }

  #read(datagram: Buffer): void {
    for (const { type, data } of parseMessages(datagram)) {
      // A link that leaves a bridge is told by the same type, as of family AF_BRIDGE.
      if (type !== RTM_DELLINK || data.readUInt8(0) !== AF_UNSPEC) continue;
      const index = data.readInt32LE(INDEX_OFFSET);
      this.#waiting.get(index)?.forEach((tell) => tell());
    }
  }
}
