import { bundleControl, bundleXidCount, bundleXids, fillBundle, type BundleXids } from './bundle.ts';
import { Writer } from './bytes.ts';
import { writeChange } from './changes.ts';
import { Channel, type ChannelOptions } from './channel.ts';
import type { OpenFlowError } from './errors.ts';
import { barrier } from './hello.ts';
import * as multipart from './multipart.ts';
import { encodePacketOut, type PacketOut } from './packets.ts';
import type { Batch, Flush, Modification } from './program.ts';

/** Packets for the switch are dropped while more than this waits to be written. */
const LONGEST_QUEUE_BYTES = 1024 * 1024;

/**
 * What the agent asks of a bridge, over the socket that ovs-vswitchd has for it, `BRIDGE.mgmt`
 * (ovs-ofctl(8) "Connecting to an OpenFlow switch"). Requests may overlap; the switch serves them
 * in order.
 */
export class OpenFlowConnection {
  readonly #channel: Channel;
  #nextBundle = 1;

  private constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** @throws OpenFlowError `unreachable`, `timeout`, `protocol`, `connection-lost` */
  static async connect(path: string, options: ChannelOptions): Promise<OpenFlowConnection> {
    return new OpenFlowConnection(await Channel.connect(path, options));
  }

  /** The reason why the connection takes no more requests. Undefined while it holds. */
  get lost(): OpenFlowError | undefined {
    return this.#channel.lost;
  }

  close(): void {
    this.#channel.close();
  }

  /**
   * Carries out all of the changes at once, or none of them. Not for meters. Changes of unknown
   * number are made while the switch takes them.
   * @throws OpenFlowError `refused` names the change; nothing was carried out. After `timeout` and
   *   `connection-lost` nobody knows
   * @throws RangeError for a value that its place has no room for; nothing was carried out
   */
  async bundle(changes: Batch): Promise<void> {
    const id = this.#nextBundle++;
    const xids = bundleXids(this.#channel.takeXids(bundleXidCount(changes)), changes);
    await this.#fill(id, changes, xids);
    // The switch looks only now at what a change needs, such as the group that a flow names.
    const commit = bundleControl(id, 'commit', xids.commit);
    await this.#channel.ask(xids.changes, xids.open - xids.changes, xids.commit, commit);
  }

  /**
   * Carries out the changes one by one: for meters and flushes. It resolves once the switch has
   * carried out all of them.
   * @throws OpenFlowError `refused` names the first change that the switch refused; the others are
   *   carried out
   * @throws RangeError for a value that its place has no room for; nothing was sent
   */
  async send(changes: readonly (Modification | Flush)[]): Promise<void> {
    const first = this.#channel.takeXids(changes.length + 1);
    const last = first + changes.length;
    const to = new Writer();
    changes.forEach((change, i) => writeChange(to, change, first + i));
    to.bytes(barrier(last));
    await this.#channel.ask(first, changes.length, last, to.take());
  }

  /** Sends a packet through the bridge. Like any packet it may be lost. */
  packetOut(packet: PacketOut): void {
    if (this.lost || this.#channel.queuedBytes > LONGEST_QUEUE_BYTES) return;
    void this.#channel.write(encodePacketOut(packet, this.#channel.takeXids(1)));
  }

  async countFlows(selection: multipart.Selection): Promise<number> {
    const bodies = await this.#list((xid) => multipart.countFlows(selection, xid));
    return this.#channel.decode(() => bodies.reduce((sum, body) => sum + multipart.flowCountOf(body), 0));
  }

  async listFlows(selection: multipart.Selection): Promise<multipart.FlowDescription[]> {
    const bodies = await this.#list((xid) => multipart.listFlows(selection, xid));
    return this.#channel.decode(() => bodies.flatMap(multipart.flowsOf));
  }

  /** Returns the fields of the matches of these flows, in a fraction of the time of `listFlows`. */
  async listMatches(selection: multipart.Selection): Promise<Buffer[]> {
    const bodies = await this.#list((xid) => multipart.listFlows(selection, xid));
    return this.#channel.decode(() => bodies.flatMap(multipart.matchesOf));
  }

  async listGroups(): Promise<multipart.GroupDescription[]> {
    const bodies = await this.#list(multipart.listGroups);
    return this.#channel.decode(() => bodies.flatMap(multipart.groupsOf));
  }

  /** Returns the IDs of the meters. */
  async listMeters(): Promise<number[]> {
    const bodies = await this.#list(multipart.listMeters);
    return this.#channel.decode(() => bodies.flatMap(multipart.metersOf));
  }

  /** Makes a bundle on the switch, which has refused none of its changes then. */
  async #fill(id: number, changes: Batch, xids: BundleXids): Promise<void> {
    const filled = this.#channel.begin(xids.changes, xids.open - xids.changes, xids.barrier);
    try {
      for (const part of fillBundle(id, changes, xids)) {
        await this.#channel.write(part);
        if (filled.isOver) break;
      }
      await filled.answered;
    } catch (error) {
      filled.abandon();
      if (!this.lost) void this.#channel.write(bundleControl(id, 'discard', this.#channel.takeXids(1)));
      throw error;
    }
  }

  #list(encode: (xid: number) => Buffer): Promise<Buffer[]> {
    const xid = this.#channel.takeXids(1);
    return this.#channel.ask(xid, 0, xid, encode(xid));
  }
}
