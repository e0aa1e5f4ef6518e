import { messageOf } from '../../../ipam/model/errors.ts';
import type { Effects, Timer } from '../../../ipam/model/effects.ts';
import { NOTHING_FORMER } from '../../dataplane/former.ts';
import { Program, type Gone } from '../../dataplane/program.ts';
import { isOurGroup, isOurMeter, KEPT_COOKIES, ZONE } from '../../dataplane/tables.ts';
import { OpenFlowError } from '../../openflow/errors.ts';
import type { Flush, Meter, Modification } from '../../openflow/program.ts';
import { readFormer, type BridgeConnection } from './bridge-connection.ts';

/** Receives what happens at a bridge. */
export interface BridgeEvents {
  /**
   * All of the program is in place. `changes`: how many changes that took, or how many flows there
   * are if all were sent.
   */
  sent(changes: number, ms: number): void;
  failed(reason: string): void;
  /** Somebody else changed our flows: how many there were, and how many there should be. */
  differed(found: number, expected: number): void;
}

export interface BridgeKeeperOptions {
  /** Opens a connection. @param lost called once when it ends */
  readonly connect: (lost: () => void) => Promise<BridgeConnection>;
  /** Whether the bridge serves Services; otherwise it only limits pods. */
  readonly services: boolean;
  readonly events: BridgeEvents;
  readonly effects: Effects;
}

/** Pause before the bridge is tried again, in milliseconds. */
const RETRY_MS = 50;
/** Failures for so long are more than a restart of ovs-vswitchd, in milliseconds. */
const FAILING_AFTER_MS = 1_000;
/** The pause from then on, in milliseconds. */
const LONG_RETRY_MS = 1_000;
/** How often the keeper counts what is there, in milliseconds. */
const LOOK_EVERY_MS = 10_000;

/**
 * Keeps the program of one bridge in place: sends what changed as one bundle, and all of it after a
 * connection was lost. One bundle is under way at a time; what changes meanwhile is in the next.
 */
export class BridgeKeeper {
  readonly program: Program;
  readonly #options: BridgeKeeperOptions;
  #connection: BridgeConnection | undefined;
  /** Whether all Services are known. Until then what the bridge does with them stays. */
  #servicesKnown = false;
  #state: 'idle' | 'works' | 'closed' = 'idle';
  /** Counts the changes: those that came, and those that are in place. */
  #came = 0;
  #done = 0;
  /** When the first of the failures in a row was, in monotonic milliseconds. */
  #failingSince: number | undefined;
  #retry: Timer | undefined;
  #look: Timer | undefined;
  /** How many flows of ours are in place. Undefined: all have to be sent first. */
  #flows: number | undefined;
  /** Connections that are to be flushed. */
  #gone: Gone[] = [];
  /** IDs of the meters on the bridge. */
  #meters = new Set<number>();
  readonly #waiting = new Set<() => void>();

  constructor(options: BridgeKeeperOptions) {
    this.#options = options;
    this.program = new Program(options.services);
  }

  get isInPlace(): boolean {
    return this.#connection !== undefined && this.#done === this.#came && this.#servicesKnown;
  }

  /** Whether the bridge has refused, or not answered, for a second. */
  get isFailing(): boolean {
    const since = this.#failingSince;
    return since !== undefined && this.#options.effects.monotonic() - since >= FAILING_AFTER_MS;
  }

  /** Number of our flows that are in place. */
  get flows(): number | undefined {
    return this.#flows;
  }

  /** Sends what changed in the program. */
  changed(): void {
    this.#came++;
    if (this.#state === 'idle' && !this.#retry) void this.#work();
  }

  /** From now on the program has all Services. */
  servicesKnown(): void {
    this.#servicesKnown = true;
    this.changed();
  }

  /** Resolves once what the program is now is in place. Never rejects. */
  async inPlace(): Promise<void> {
    const wanted = this.#came;
    while (this.#done < wanted && this.#state !== 'closed')
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  close(): void {
    this.#state = 'closed';
    this.#retry?.cancel();
    this.#look?.cancel();
    this.#connection?.close();
    this.#wake();
  }

  async #work(): Promise<void> {
    this.#state = 'works';
    // What comes at once, such as the ports of a burst, shares a bundle.
    await this.#options.effects.yieldTurn();
    while (this.#isOpen() && (this.#done < this.#came || !this.#connection)) {
      const reached = this.#came;
      try {
        await this.#bringUpToDate();
        this.#failingSince = undefined;
        this.#done = reached;
        this.#wake();
      } catch (error) {
        this.#fail(error);
        break;
      }
    }
    if (this.#isOpen()) this.#state = 'idle';
  }

  /** A method, so that the compiler takes no answer for lasting: `close` may come at any await. */
  #isOpen(): boolean {
    return this.#state !== 'closed';
  }

  async #bringUpToDate(): Promise<void> {
    const { effects, events } = this.#options;
    const began = effects.monotonic();
    const connection = (this.#connection ??= await this.#connect());
    const former = this.#isWholeNext() ? await readFormer(connection) : NOTHING_FORMER;
    const { meters, changes, isWhole, grown, unused, gone } = this.program.take(this.#servicesKnown, former);
    // If the connection ends before they are flushed, the next one does it.
    this.#gone.push(...gone);
    const isAll = isWhole && this.#servicesKnown;
    // As the changes have them: the program goes on changing.
    const groups = isAll ? this.program.groups() : undefined;
    if (meters.length > 0) await this.#putMeters(connection, meters);
    const stale = groups ? await this.#staleGroups(connection, groups) : [];
    if (changes.length !== 0) await connection.bundle(stale.length === 0 ? changes : inTurn(changes, stale));
    await this.#dropMeters(connection, isAll ? this.#stale() : unused);
    if (this.#gone.length > 0) await this.#flush(connection, this.#gone);
    this.#gone = [];
    // ovs-vswitchd looks at all flows to count some: too long after each change.
    if (isAll) this.#flows = await this.#count(connection);
    else if (this.#flows !== undefined) this.#flows += grown;
    events.sent(changes.length ?? this.#flows ?? 0, effects.monotonic() - began);
    this.#lookLater();
  }

  #isWholeNext(): boolean {
    return this.#servicesKnown && this.#options.services && this.program.isFromScratch;
  }

  async #connect(): Promise<BridgeConnection> {
    const connection = await this.#options.connect(() => this.#lost(connection));
    try {
      this.#meters = new Set(await connection.listMeters());
      if (!this.#isOpen()) throw new Error('the keeper was closed');
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  async #putMeters(connection: BridgeConnection, meters: readonly Meter[]): Promise<void> {
    await connection.send(
      meters.map((meter) => ({ kind: this.#meters.has(meter.id) ? 'change-meter' : 'add-meter', meter })),
    );
    for (const { id } of meters) this.#meters.add(id);
  }

  async #dropMeters(connection: BridgeConnection, ids: readonly number[]): Promise<void> {
    const there = ids.filter((id) => this.#meters.delete(id));
    if (there.length > 0) await connection.send(there.map((id) => ({ kind: 'delete-meter', id })));
  }

  /** Meters of an agent before this one. */
  #stale(): number[] {
    const wanted = new Set(this.program.meters().map(({ id }) => id));
    return [...this.#meters].filter((id) => isOurMeter(id) && !wanted.has(id));
  }

  /** Switches before Open vSwitch 3.1 cannot: the connections there end when they are idle. */
  async #flush(connection: BridgeConnection, gone: readonly Gone[]): Promise<void> {
    try {
      await connection.send(gone.map(flushOf));
    } catch (error) {
      if (!(error instanceof OpenFlowError) || error.code !== 'refused') throw error;
      this.#options.events.failed(`connections of endpoints that went stay: ${messageOf(error)}`);
    }
  }

  #lost(connection: BridgeConnection): void {
    if (this.#connection !== connection) return;
    this.#giveUp();
    this.changed();
  }

  #giveUp(): void {
    this.#connection?.close();
    this.#connection = undefined;
    this.#flows = undefined;
    this.program.forget();
  }

  #fail(error: unknown): void {
    this.#giveUp();
    if (!this.#isOpen()) return;
    this.#options.events.failed(messageOf(error));
    this.#failingSince ??= this.#options.effects.monotonic();
    const pauseMs = this.isFailing ? LONG_RETRY_MS : RETRY_MS;
    this.#retry = this.#options.effects.schedule(pauseMs, () => {
      this.#retry = undefined;
      if (this.#state === 'idle') void this.#work();
    });
  }

  /** Groups of an agent before this one. */
  async #staleGroups(connection: BridgeConnection, wanted: ReadonlySet<number>): Promise<Modification[]> {
    const there = (await connection.listGroups()).map(({ id }) => id);
    return there
      .filter((id) => isOurGroup(id) && !wanted.has(id))
      .map((id): Modification => ({ kind: 'delete-group', id }));
  }

  async #count(connection: BridgeConnection): Promise<number> {
    const counts = await Promise.all(KEPT_COOKIES.map((cookies) => connection.countFlows(cookies)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  #lookLater(): void {
    this.#look ??= this.#options.effects.schedule(LOOK_EVERY_MS, () => {
      this.#look = undefined;
      void this.#lookAtFlows();
    });
  }

  /** Sends everything again when somebody else removed or added flows of ours. */
  async #lookAtFlows(): Promise<void> {
    const [connection, expected] = [this.#connection, this.#flows];
    if (!connection || expected === undefined || this.#state !== 'idle') {
      this.#lookLater();
      return;
    }
    try {
      // The switch counts before it carries out what is sent meanwhile.
      const found = await this.#count(connection);
      if (found === expected || this.#connection !== connection) {
        this.#lookLater();
        return;
      }
      this.#options.events.differed(found, expected);
      this.program.forget();
      this.changed();
    } catch (error) {
      // Another connection may be open by now, and at work.
      if (this.#connection === connection) this.#fail(error);
      else this.#lookLater();
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

function* inTurn(...parts: readonly Iterable<Modification>[]): Generator<Modification> {
  for (const part of parts) yield* part;
}

/** Forgets the connections of an endpoint that went, which would go on being sent there. */
const flushOf = ({ frontend, endpoint }: Gone): Flush => ({
  kind: 'flush-connections',
  zone: ZONE.service,
  protocol: endpoint.protocol,
  family: endpoint.address.family,
  ...(frontend && { original: { dst: frontend.address.value, dstPort: frontend.port } }),
  reply: { src: endpoint.address.value, srcPort: endpoint.port },
});
