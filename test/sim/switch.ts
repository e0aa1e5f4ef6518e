import { OvsdbError } from '../../cni/ovsdb/errors.ts';
import type { SimKernel } from './kernel.ts';
import type { Process } from './process.ts';
import type { PortInfo, PortSpec, Switch } from '../../cni/platform/switch.ts';

/** Usual time of one transaction, and until vswitchd has taken a port, in milliseconds. */
const LATENCY_MS = { transaction: 3, port: 5 };
/** Longest time that a STATUS waits for vswitchd, in milliseconds. */
const SERVED_WITHIN_MS = 2_000;

interface Row extends PortSpec {
  ofport: number | undefined;
  error: string | undefined;
}

/** A request that waits for a server that hangs. */
type Held = () => void;

/** The Open vSwitch of one machine. Its database is a file, so it survives a boot. */
export class SimSwitch {
  readonly bridge: string;
  readonly #kernel: () => SimKernel;
  readonly #ports = new Map<string, Row>();
  #state: 'serves' | 'hangs' | 'away' = 'serves';
  #held: Held[] = [];
  #lastOfport = 0;

  constructor(bridge: string, kernel: () => SimKernel) {
    this.bridge = bridge;
    this.#kernel = kernel;
  }

  /** Makes a copy for another machine, as an image of the disk has it. */
  copyTo(kernel: () => SimKernel): SimSwitch {
    const copy = new SimSwitch(this.bridge, kernel);
    for (const [name, row] of this.#ports) copy.#ports.set(name, { ...row });
    return copy;
  }

  get ports(): readonly PortSpec[] {
    return [...this.#ports.values()];
  }

  /** Removes one of the ports, as somebody with ovs-vsctl. Returns its name, if there is any. */
  losePort(nth: number): string | undefined {
    const names = [...this.#ports.keys()];
    const name = names[nth % names.length];
    if (name !== undefined) this.#drop(name);
    return name;
  }

  /** Stops answering, as a stopped ovsdb-server: what is sent waits, and is carried out later. */
  hang(): void {
    this.#state = 'hangs';
  }

  /** Ends, as a killed ovsdb-server: no connection comes about. */
  goAway(): void {
    this.#state = 'away';
    this.#held = [];
  }

  serve(): void {
    this.#state = 'serves';
    for (const request of this.#held.splice(0)) request();
  }

  /** Starts after a boot: vswitchd finds no device for its ports. */
  boot(): void {
    this.serve();
    for (const row of this.#ports.values())
      Object.assign(row, { ofport: -1, error: `could not open network device ${row.name}` });
  }

  /** @param expiresAt when all work must be over, in milliseconds of the monotonic clock */
  for(process: Process, expiresAt: number): Switch {
    const leftMs = (): number => Math.max(0, expiresAt - process.effects.monotonic());
    const ask = <T>(work: () => T): Promise<T> => this.#ask(process, leftMs(), work);
    return {
      inspectBridge: (bridge) =>
        ask(() => (bridge === this.bridge ? { userspace: false, uplinkMtu: 1500 } : undefined)),
      isServed: () =>
        this.#ask(process, Math.min(SERVED_WITHIN_MS, leftMs()), () => true).catch((error: unknown) => {
          if (error instanceof OvsdbError && error.code === 'timeout') return false;
          throw error;
        }),
      createBridge: () => Promise.reject(new OvsdbError('protocol', 'the bridge is there already')),
      addPort: async (spec) => {
        const row = await ask(() => this.#insert(spec));
        await process.act(LATENCY_MS.port, () => this.#take(row));
      },
      markPort: ({ name, externalIds }) =>
        ask(() => {
          const row = this.#ports.get(name);
          if (row) this.#ports.set(name, Object.assign(row, { externalIds }));
        }),
      removePort: (containerId, ifname) => ask(() => this.#removePort(containerId, ifname)),
      findPorts: (containerId, ifname) => ask(() => this.#find(containerId, ifname).map(infoOf)),
      close: () => undefined,
    };
  }

  #ask<T>(process: Process, deadlineMs: number, work: () => T): Promise<T> {
    const { scheduler } = process.sim;
    const late = (): OvsdbError =>
      new OvsdbError('timeout', `Open vSwitch did not answer within ${deadlineMs} ms`);
    return process.ask<T>(deadlineMs, late, (resolve, reject) => {
      const carryOut = (): void => {
        try {
          resolve(work());
        } catch (error) {
          if (!(error instanceof OvsdbError)) throw error;
          reject(error);
        }
      };
      scheduler.after(process.latency(LATENCY_MS.transaction), () => {
        if (this.#state === 'serves') carryOut();
        else if (this.#state === 'hangs') this.#held.push(carryOut);
        else reject(new OvsdbError('unreachable', 'no server answers at the database of Open vSwitch'));
      });
    });
  }

  #insert(spec: PortSpec): Row {
    if (this.#ports.has(spec.name))
      throw new OvsdbError('port-exists', `port '${spec.name}' is in Open vSwitch already`);
    const row: Row = { ...spec, ofport: undefined, error: undefined };
    this.#ports.set(spec.name, row);
    return row;
  }

  /** vswitchd opens the device of the port. */
  #take(row: Row): void {
    const link = this.#kernel().links.get(row.name);
    if (this.#ports.get(row.name) !== row || !link) {
      row.error = `could not open network device ${row.name}`;
      throw new OvsdbError('port-failed', `ovs-vswitchd cannot use port '${row.name}': ${row.error}`);
    }
    link.taken = true;
    row.ofport = ++this.#lastOfport;
  }

  #removePort(containerId: string, ifname: string): 'removed' | 'absent' {
    const found = this.#find(containerId, ifname);
    for (const { name } of found) this.#drop(name);
    return found.length > 0 ? 'removed' : 'absent';
  }

  #drop(name: string): void {
    this.#ports.delete(name);
    const link = this.#kernel().links.get(name);
    if (link) link.taken = false;
  }

  #find(containerId: string | undefined, ifname: string | undefined): Row[] {
    return [...this.#ports.values()].filter(
      ({ externalIds }) =>
        (containerId === undefined || externalIds['container-id'] === containerId) &&
        (ifname === undefined || externalIds['ifname'] === ifname),
    );
  }
}

const infoOf = ({ name, bridge, tag, trunks, externalIds, ofport, error }: Row): PortInfo => ({
  name,
  bridge,
  tag,
  trunks,
  externalIds,
  ofport,
  error,
});
