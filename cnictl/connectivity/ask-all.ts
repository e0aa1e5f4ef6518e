/** Has the clients ask, and collects what they find. */
import type { Outcome } from './ask.ts';
import { MACHINE, type Check } from './check.ts';
import type { PodState } from './objects.ts';
import { LEAVERS, type PodPlan, type ServicePlan } from './plan.ts';
import { parseLog, tasksOf } from './results.ts';
import type { Stage } from './stage.ts';
import { throwIfStopped, waitFor, type Look, type Waiting } from './waiting.ts';

export interface Asking {
  readonly checks: readonly Check[];
  readonly clients: readonly PodPlan[];
  readonly plans: readonly ServicePlan[];
  readonly waiting: Waiting;
  readonly dial: (address: string, port: number) => Promise<Outcome>;
}

export interface Answers {
  /** By the index of the check. */
  readonly outcomes: ReadonlyMap<number, Outcome>;
  readonly pods: ReadonlyMap<string, PodState>;
  /** Why a client did not run to its end, by its name. */
  readonly broken: ReadonlyMap<string, string>;
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
  // By now the servers have begun, as the clients found.
  const outcomes = await askFromHere(asking);
  for (const client of asked) await collect(stage, client, outcomes);
  return { outcomes, pods: running.pods, broken: running.brokenWithout(outcomes) };
}

async function askFromHere({ checks, dial, waiting }: Asking): Promise<Map<number, Outcome>> {
  const outcomes = new Map<number, Outcome>();
  for (const [i, { from, ask }] of checks.entries()) {
    if (from !== MACHINE) continue;
    throwIfStopped(waiting.signal);
    outcomes.set(i, await dial(ask.address, ask.port));
  }
  return outcomes;
}

async function collect(stage: Stage, { name, indices }: Client, into: Map<number, Outcome>): Promise<void> {
  const { outcomes } = parseLog(await stage.log(name));
  for (const [task, index] of indices.entries()) {
    const outcome = outcomes.get(task);
    if (outcome !== undefined) into.set(index, outcome);
  }
}

class Clients {
  readonly #stage: Stage;
  readonly #clients: readonly Client[];
  #hasLeft = false;
  pods: ReadonlyMap<string, PodState> = new Map();

  constructor(stage: Stage, clients: readonly Client[]) {
    this.#stage = stage;
    this.#clients = clients;
  }

  async look(): Promise<Look> {
    this.pods = await this.#stage.pods();
    await this.#takeLeaver();
    const left = this.#clients.filter(({ name }) => !this.#isOver(name)).map(({ name }) => name);
    return { done: left.length === 0, told: `clients ask: ${left.join(', ')}` };
  }

  /** Returns why clients ended without all that they should have written. */
  brokenWithout(outcomes: ReadonlyMap<number, Outcome>): Map<string, string> {
    const broken = this.#clients.filter(({ name, indices }) => {
      const { phase } = this.pods.get(name) ?? {};
      return phase !== 'Succeeded' && indices.every((i) => !outcomes.has(i));
    });
    return new Map(broken.map(({ name }) => [name, this.pods.get(name)?.reason ?? 'it is not there']));
  }

  #isOver(name: string): boolean {
    return ['Succeeded', 'Failed'].includes(this.pods.get(name)?.phase ?? '');
  }

  /** Once `mover` has its connections, the server that it names goes. */
  async #takeLeaver(): Promise<void> {
    if (this.#hasLeft || this.pods.get('mover')?.phase !== 'Running') return;
    const { leaver } = parseLog(await this.#stage.log('mover'));
    if (leaver === undefined || !LEAVERS.includes(leaver)) return;
    this.#hasLeft = true;
    await this.#stage.removePod(leaver);
  }
}
