import type { Machine as MachineIdentity } from '../../ipam/model/machine.ts';
import { SimDisk } from './disk.ts';
import { SimKernel } from './kernel.ts';
import type { Carrier, Living } from './living.ts';
import { SimLocks } from './locks.ts';
import { Process, type Clocks, type Sim } from './process.ts';
import { SimSwitch } from './switch.ts';

/** When the simulation starts, in milliseconds since 1970. */
export const EPOCH_MS = Date.parse('2026-01-01T00:00:00Z');
export const BRIDGE = 'br-cell';

export interface MachineOptions {
  readonly name: string;
  /** The name of the node: its host name. Clones share it. */
  readonly node: string;
  readonly living: Living;
  /** Called when a program deletes a link of a pod. */
  readonly onDeleted?: (carrier: Carrier) => void;
  /** The machine whose disk this one has a copy of. */
  readonly imageOf?: Machine;
}

/** One machine: disk, kernel, Open vSwitch and clocks, and the programs that run on it. */
export class Machine implements Clocks {
  readonly name: string;
  readonly node: string;
  readonly disk: SimDisk;
  readonly ovs: SimSwitch;
  kernel: SimKernel;
  locks = new SimLocks();
  /** Whether it has power. */
  up = false;
  /** How far its wall clock is ahead, in milliseconds. */
  clockOffsetMs = 0;
  readonly #sim: Sim;
  readonly #newKernel: () => SimKernel;
  readonly #processes = new Set<Process>();
  readonly #spawned = new Map<string, number>();
  #boots = 0;
  #bootedAt = 0;

  constructor(sim: Sim, options: MachineOptions) {
    const { name, node, living, onDeleted = () => undefined, imageOf } = options;
    this.#sim = sim;
    this.#newKernel = () => new SimKernel(name, BRIDGE, living, onDeleted);
    this.name = name;
    this.node = node;
    this.disk = imageOf?.disk.copy() ?? new SimDisk();
    this.kernel = this.#newKernel();
    this.ovs = imageOf?.ovs.copyTo(() => this.kernel) ?? new SimSwitch(BRIDGE, () => this.kernel);
  }

  /** What tells it from a clone: the MAC of its network card. */
  get identity(): MachineIdentity {
    return { id: `machine-${this.name}`, macs: [`card of ${this.name}`], machineId: `image of ${this.node}` };
  }

  get bootId(): string {
    return `${this.name}-boot-${this.#boots}`;
  }

  /** Whole milliseconds, as `Date.now` gives them: records in etcd keep no parts of one. */
  readonly now = (): number => Math.floor(EPOCH_MS + this.#sim.scheduler.time) + this.clockOffsetMs;
  readonly monotonic = (): number => this.#sim.scheduler.time - this.#bootedAt;
  readonly bootedAt = (): number => this.now() - this.monotonic();

  boot(): void {
    this.up = true;
    this.#boots++;
    this.#bootedAt = this.#sim.scheduler.time;
    this.kernel = this.#newKernel();
    this.locks = new SimLocks();
    this.ovs.boot();
    this.#sim.trace.tell(this.name, () => ({ text: `boots as ${this.bootId}`, always: this.#boots > 1 }));
  }

  /** Ends everything that runs, and the pods with it. The disk keeps what had reached it. */
  losePower(): void {
    if (!this.up) return;
    this.#sim.trace.tell(this.name, () => ({ text: 'loses power', always: true }));
    this.up = false;
    for (const process of [...this.#processes]) process.end();
    this.kernel.clear();
    this.disk.losePower(this.#sim.scheduler.time, this.#sim.random.fork(`${this.bootId} power`));
  }

  /**
   * Starts a program.
   * @param lives how many steps it makes before it is killed
   */
  spawn(name: string, lives?: number): Process {
    const nth = (this.#spawned.get(name) ?? 0) + 1;
    this.#spawned.set(name, nth);
    const process = new Process(this.#sim, this.name, nth === 1 ? name : `${name} (${nth})`, this, lives);
    this.#processes.add(process);
    process.onEnd(() => void this.#processes.delete(process));
    return process;
  }
}
