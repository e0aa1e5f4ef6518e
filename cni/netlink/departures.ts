/** Reports when links leave the kernel, by the group RTNLGRP_LINK of rtnetlink(7). */
import { RawNetlinkSocket } from 'netlink/dist/raw.js';
import { parseMessages } from 'netlink/dist/structs.js';
import { NETLINK_ROUTE, RTM_DELLINK, RTNLGRP_LINK } from './kernel.ts';

/** struct ifinfomsg (linux/rtnetlink.h): family (1 byte), padding (1), type (2), index (4), … */
const INDEX_OFFSET = 4;
const AF_UNSPEC = 0;

/**
 * Follows the links of this thread's namespace. The kernel announces a departure once the link has
 * left its lists, carries no traffic and its name is free, for both ends of a veth at once. The
 * acknowledgement comes later, when the kernel has also freed the link's memory
 * (`netdev_run_todo`).
 */
export class Departures {
  readonly #socket: RawNetlinkSocket;
  readonly #waiting = new Map<number, Set<() => void>>();
  #failed = false;
  #closed = false;

  /** The socket does not keep the process alive. @throws Error of the addon */
  constructor() {
    this.#socket = new RawNetlinkSocket(NETLINK_ROUTE);
    this.#socket.unref();
    this.#socket.on('message', (datagram) => this.#read(datagram));
    // The kernel drops messages when too many arrive at once (ENOBUFS). Callers that wait then rely
    // on the acknowledgement.
    this.#socket.on('error', () => (this.#failed = true));
  }

  /** True after an error: messages may have been missed, so the caller replaces this object. */
  get failed(): boolean {
    return this.#failed;
  }

  /**
   * `gone` resolves when the link of that index is gone. It never resolves if the kernel's message
   * is lost. `cancel` ends the wait.
   */
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

  /** Pending waits never resolve after this. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  /**
   * Joins the group only while a caller waits, because each new link would otherwise cost a turn of
   * the event loop. Never throws: callers also get the kernel's acknowledgement.
   */
  #follow(on: boolean): void {
    if (this.#closed) return;
    try {
      if (on) this.#socket.addMembership(RTNLGRP_LINK);
      else this.#socket.dropMembership(RTNLGRP_LINK);
    } catch {
      this.#failed = true; // The addon closes itself when it can no longer wait for the socket.
    }
  }

  #read(datagram: Buffer): void {
    for (const { type, data } of parseMessages(datagram)) {
      // The kernel uses the same type, with family AF_BRIDGE, when a link leaves a bridge.
      if (type !== RTM_DELLINK || data.readUInt8(0) !== AF_UNSPEC) continue;
      const index = data.readInt32LE(INDEX_OFFSET);
      this.#waiting.get(index)?.forEach((tell) => tell());
    }
  }
}
