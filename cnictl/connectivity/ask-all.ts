/** Has the clients ask, and collects what they find. */
import { KubeError, type KubeErrorCode } from '../../cni/kube/errors.ts';
import { PORT, type Outcome } from './ask.ts';
import { MACHINE, type Check } from './check.ts';
import type { PodState } from './objects.ts';
import { HOST_SERVER, LEAVERS, type PodPlan, type ServicePlan } from './plan.ts';
import { parseLog, tasksOf, type Written } from './results.ts';
import type { Stage } from './stage.ts';
import { throwIfStopped, waitFor, type Look, type Waiting } from './waiting.ts';

export interface Asking {
  readonly checks: readonly Check[];
  readonly clients: readonly PodPlan[];
  readonly plans: readonly ServicePlan[];
  readonly waiting: Waiting;
  readonly dial: (address: string, port: number) => Promise<Outcome>;
  /** An address of a node where the server on the host's network runs, if there is one. */
  readonly nodeAddress: string | undefined;
}

export interface Answers {
  /** By the index of the check. */
  readonly outcomes: ReadonlyMap<number, Outcome>;
  readonly pods: ReadonlyMap<string, PodState>;
  /** Why a client did not run to its end, by its name. */
  readonly broken: ReadonlyMap<string, string>;
  /** Why a client's log could not be read, by its name. */
  readonly unread: ReadonlyMap<string, string>;
  /** Whether the machine where cnictl runs has no way to the nodes. */
  readonly machineIsApart: boolean;
}

/** A client with its checks. */
interface Client {
  readonly name: string;
  readonly indices: readonly number[];
}

export async function askAll(stage: Stage, asking: Asking): Promise<Answers> {
  const { checks, clients, plans, waiting } = asking;
  const asked = clients.flatMap((plan) => {
    const indices = [...checks.keys()].filter((i) => checks[i]?.from === plan.name);
    return indices.length === 0 ? [] : [{ plan, name: plan.name, indices }];
  });
  for (const { plan, indices } of asked) {
    const own = indices.flatMap((i) => checks[i] ?? []);
    await stage.addPod(plan, plans, tasksOf(own));
  }
  const running = new Clients(stage, asked);
  await waitFor(waiting, () => running.look());
  const outcomes = running.outcomes();
  const broken = running.brokenWithout(outcomes);
  // By now the servers have begun, as the clients found.
  const machineIsApart = await isApart(asking);
  if (!machineIsApart) await askFromHere(asking, outcomes);
  return { outcomes, pods: running.pods, broken, unread: running.unread(), machineIsApart };
}

/** Asks the server that is on a node's own network: no bridge and no kube-proxy is on the way. */
async function isApart({ dial, waiting, nodeAddress }: Asking): Promise<boolean> {
  if (nodeAddress === undefined) return false;
  throwIfStopped(waiting.signal);
  return (await dial(nodeAddress, PORT.host)).name !== HOST_SERVER;
}

async function askFromHere({ checks, dial, waiting }: Asking, into: Map<number, Outcome>): Promise<void> {
  throwIfStopped(waiting.signal);
  const dials = [...checks.entries()]
    .filter(([, { from }]) => from === MACHINE)
    .map(async ([i, { ask }]) => into.set(i, await dial(ask.address, ask.port)));
  await Promise.all(dials);
}

/** A log of which nothing came so often is given up: the kubelet of that node is not reached. */
const READS = 3;
const OF_THE_KUBELET: readonly KubeErrorCode[] = ['unavailable', 'unreachable', 'timeout'];

/** Reads the log of one client, again and again until it is done. */
class ClientLog {
  readonly #stage: Stage;
  readonly #name: string;
  #failures = 0;
  #problem: string | undefined;
  written: Written = parseLog('');

  constructor(stage: Stage, name: string) {
    this.#stage = stage;
    this.#name = name;
  }

  get isOver(): boolean {
    return this.written.isDone || this.#failures >= READS;
  }

  /** Why nobody knows what the client wrote. */
  get problem(): string | undefined {
    return this.#problem;
  }

  async read(): Promise<void> {
    if (this.isOver) return;
    try {
      this.written = parseLog(await this.#stage.log(this.#name));
      this.#failures = 0;
      this.#problem = undefined;
    } catch (error) {
      if (!(error instanceof KubeError) || !OF_THE_KUBELET.includes(error.code)) throw error;
      this.#failures++;
      this.#problem = `its log cannot be read: ${error.message}`;
    }
  }
}

class Clients {
  readonly #stage: Stage;
  readonly #clients: readonly (Client & { readonly log: ClientLog })[];
  #hasLeft = false;
  pods: ReadonlyMap<string, PodState> = new Map();

  constructor(stage: Stage, clients: readonly Client[]) {
    this.#stage = stage;
    this.#clients = clients.map((client) => ({ ...client, log: new ClientLog(stage, client.name) }));
  }

  async look(): Promise<Look> {
    this.pods = await this.#stage.pods();
    const begun = this.#clients.filter(({ name }) => {
      const pod = this.pods.get(name);
      return pod?.isRunning === true || pod?.isOver === true;
    });
    // One that takes long must not hold up the others.
    await Promise.all(begun.map(({ log }) => log.read()));
    await this.#takeLeaver();
    const left = this.#clients.filter(({ name, log }) => !log.isOver && this.pods.get(name)?.isOver !== true);
    const names = left.map(({ name }) => name);
    return {
      done: left.every(({ name }) => this.pods.get(name)?.lacksImage),
      told: `clients ask: ${names.join(', ')}`,
    };
  }

  /** Returns what the clients found, by the index of the check. */
  outcomes(): Map<number, Outcome> {
    return new Map(
      this.#clients.flatMap(({ indices, log }) =>
        [...log.written.outcomes].flatMap(([task, outcome]) => {
          const index = indices[task];
          return index === undefined ? [] : [[index, outcome] as const];
        }),
      ),
    );
  }

  unread(): Map<string, string> {
    return new Map(
      this.#clients.flatMap(({ name, log }) => (log.problem === undefined ? [] : [[name, log.problem]])),
    );
  }

  /** Returns why clients do not run that wrote nothing of what they should have. */
  brokenWithout(outcomes: ReadonlyMap<number, Outcome>): Map<string, string> {
    const broken = this.#clients.filter(({ name, indices, log }) => {
      const runs = log.written.isDone || log.problem !== undefined;
      return !runs && !this.pods.get(name)?.isRunning && indices.every((i) => !outcomes.has(i));
    });
    return new Map(broken.map(({ name }) => [name, this.pods.get(name)?.reason ?? 'it is not there']));
  }

  /** Once `mover` has its connections, the server that it names goes. */
  async #takeLeaver(): Promise<void> {
    const leaver = this.#clients.find(({ name }) => name === 'mover')?.log.written.leaver;
    if (this.#hasLeft || leaver === undefined || !LEAVERS.includes(leaver)) return;
    this.#hasLeft = true;
    await this.#stage.removePod(leaver);
  }
}
