import type { Socket } from 'node:net';
import { basename } from 'node:path';
import { messageOf } from '../../ipam/model/errors.ts';
import { OpenFlowError } from './errors.ts';
import { Exchanges, type Exchange } from './exchanges.ts';
import { MessageFraming } from './framing.ts';
import { MESSAGE, type Message } from './header.ts';
import { barrier, echoReply, echoRequest, hello, speaks15 } from './hello.ts';
import { packetInOf, setConfig, setPacketInFormat, type PacketIn } from './packets.ts';
import { openSocket } from './socket.ts';
import { switchErrorOf } from './switch-error.ts';

export interface ChannelOptions {
  /** How long the switch may make no progress with what it is asked, in milliseconds. */
  readonly deadlineMs: number;
  /**
   * Gets what flows send to the agent, once `connect` has resolved. Must not throw. Absent: the
   * switch sends nothing.
   */
  readonly onPacket?: (packet: PacketIn) => void;
  /** Called once when an open connection ends, unless by `close`. */
  readonly onLost: (error: OpenFlowError) => void;
}

const LAST_XID = 0xffffffff;

/**
 * Messages to and from a switch that speaks OpenFlow 1.5. A switch that makes no progress for the
 * deadline is silent: the connection ends, and every request on it fails with `timeout`. An idle
 * connection is probed by echo.
 */
export class Channel {
  readonly #path: string;
  readonly #socket: Socket;
  readonly #options: ChannelOptions;
  readonly #framing = new MessageFraming();
  readonly #exchanges: Exchanges;
  readonly #probe: NodeJS.Timeout;
  #nextXid = 1;
  #isOpen = false;
  #heard = true;
  #lost: OpenFlowError | undefined;

  private constructor(path: string, socket: Socket, options: ChannelOptions) {
    this.#path = path;
    this.#socket = socket;
    this.#options = options;
    this.#exchanges = new Exchanges(options.deadlineMs, () => this.#end(this.#silent()));
    this.#probe = setInterval(() => this.#probeIdle(), options.deadlineMs).unref();
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => this.#end(this.#broken(messageOf(error), error)));
    socket.on('close', () => this.#end(this.#broken('the switch closed it')));
  }

  /** @throws OpenFlowError `unreachable`, `timeout`, `protocol`, `connection-lost` */
  static async connect(path: string, options: ChannelOptions): Promise<Channel> {
    const channel = new Channel(path, await openSocket(path, options.deadlineMs), options);
    await channel.#greet();
    channel.#isOpen = true;
    return channel;
  }

  /** The reason why the channel takes no more requests. Undefined while it holds. */
  get lost(): OpenFlowError | undefined {
    return this.#lost;
  }

  /** Bytes that wait to be written. */
  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  close(): void {
    this.#isOpen = false;
    this.#end(new OpenFlowError('connection-lost', 'the connection was closed'));
  }

  /** Returns the first of so many consecutive xids. */
  takeXids(count: number): number {
    if (this.#nextXid + count > LAST_XID) this.#nextXid = 1;
    const first = this.#nextXid;
    this.#nextXid += count;
    return first;
  }

  /**
   * Begins to wait for an answer, see {@link Exchanges.begin}.
   * @throws OpenFlowError the reason why the channel was lost
   */
  begin(first: number, changes: number, last: number): Exchange {
    if (this.#lost) throw this.#lost;
    return this.#exchanges.begin(first, changes, last);
  }

  /** Resolves once the kernel has taken the messages, or the channel is lost. */
  write(messages: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.write(messages, () => {
        this.#exchanges.progress();
        resolve();
      });
    });
  }

  /** Sends messages, and returns the bodies of the answer to the last of them. */
  async ask(first: number, changes: number, last: number, messages: Buffer): Promise<Buffer[]> {
    const exchange = this.begin(first, changes, last);
    void this.write(messages);
    return exchange.answered;
  }

  /**
   * Returns what is read of an answer.
   * @throws OpenFlowError `protocol` when it cannot be read; the channel has ended then
   */
  decode<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      const unreadable = this.#unreadable(error);
      this.#end(unreadable);
      throw unreadable;
    }
  }

  /** Sends all at once: the switch reads what comes after a hello that it agrees to. */
  async #greet(): Promise<void> {
    const first = this.takeXids(4);
    const packets = this.#options.onPacket ? [setConfig(first + 1), setPacketInFormat(first + 2)] : [];
    await this.ask(first, 0, first + 3, Buffer.concat([hello(first), ...packets, barrier(first + 3)]));
  }

  #probeIdle(): void {
    const isIdle = !this.#heard && this.#exchanges.size === 0;
    this.#heard = false;
    if (!isIdle) return;
    const xid = this.takeXids(1);
    this.ask(xid, 0, xid, echoRequest(xid)).catch(() => undefined);
  }

  #receive(chunk: Buffer): void {
    this.#heard = true;
    try {
      for (const message of this.#framing.push(chunk)) {
        if (this.#lost) return;
        this.#handle(message);
      }
    } catch (error) {
      this.#end(this.#unreadable(error));
    }
  }

  #handle(message: Message): void {
    const HELLO_FAILED = 0;
    if (message.type === MESSAGE.hello) {
      if (!speaks15(message)) this.#end(this.#otherVersion());
    } else if (message.type === MESSAGE.echoRequest) {
      this.#socket.write(echoReply(message));
    } else if (message.type === MESSAGE.error && switchErrorOf(message.body).type === HELLO_FAILED) {
      this.#end(this.#otherVersion());
    } else {
      const packet = packetInOf(message);
      if (!packet) this.#exchanges.receive(message);
      else if (this.#isOpen) this.#options.onPacket?.(packet);
    }
  }

  #silent(): OpenFlowError {
    const { deadlineMs } = this.#options;
    return new OpenFlowError('timeout', `the switch at ${this.#path} made no progress for ${deadlineMs} ms`);
  }

  #broken(reason: string, cause?: unknown): OpenFlowError {
    const what = `the connection to the switch at ${this.#path} was lost: ${reason}`;
    return new OpenFlowError('connection-lost', what, { cause });
  }

  #unreadable(cause: unknown): OpenFlowError {
    const what = `the switch at ${this.#path} sent what is no message: ${messageOf(cause)}`;
    return new OpenFlowError('protocol', what, { cause });
  }

  #otherVersion(): OpenFlowError {
    const bridge = basename(this.#path, '.mgmt');
    return new OpenFlowError('protocol', `the switch at ${this.#path} does not speak OpenFlow 1.5`, {
      remedy: `allow it in the bridge's column protocols: ovs-vsctl add bridge ${bridge} protocols OpenFlow15`,
    });
  }

  /** Ends the connection, with the first reason only. */
  #end(reason: OpenFlowError): void {
    if (this.#lost) return;
    this.#lost = reason;
    clearInterval(this.#probe);
    this.#socket.destroy();
    this.#exchanges.failAll(reason);
    if (this.#isOpen) this.#options.onLost(reason);
  }
}
