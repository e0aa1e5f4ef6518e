import { faultOf, type Act } from './acts.ts';
import { endFaults, endPods } from './ending.ts';
import type { SimEtcd } from './etcd.ts';
import { findLeftOvers, findLost, findWaiting, findWithoutPort } from './left-overs.ts';
import type { Violation } from './invariants.ts';
import { Killed, type Sim } from './process.ts';
import { perform } from './perform.ts';
import type { Plan } from './plan.ts';
import { Random } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { Trace } from './trace.ts';
import { World } from './world.ts';

export interface RunOptions {
  /** Makes all latencies alike. */
  readonly calm?: boolean;
  /** Records what happens. */
  readonly trace?: boolean;
  /** Makes the etcd of a test that wants the run to fail. */
  readonly makeEtcd?: (now: () => number) => SimEtcd;
}

export interface RunResult {
  /** Undefined when everything held. */
  readonly violation: Violation | undefined;
  readonly trace: Trace;
  /** How many events happened, and when the last: equal runs have equal numbers. */
  readonly events: number;
  readonly endedAt: number;
}

/** How long faults go on after the last act, in milliseconds. */
const CALM_AFTER_MS = 20_000;
/**
 * After each later phase begins, in milliseconds: when its effects must be over. The longest is a
 * check that looks twice, a minute apart, and then two looks of the agent, as far apart. A phase
 * ends earlier once nothing is left to wait for, and every request that was late has arrived.
 */
const SETTLED_AFTER_MS = 240_000;
const ARRIVED_AFTER_MS = 20_000;
/** How often it looks whether there is anything to wait for, in milliseconds. */
const LOOK_EVERY_MS = 5_000;

/** Tells the story of a plan from start to end, with all invariants checked at every step. */
export async function runPlan(
  plan: Plan,
  { calm = false, trace: on = false, makeEtcd }: RunOptions = {},
): Promise<RunResult> {
  const scheduler = new Scheduler();
  const trace = new Trace(on, () => scheduler.time);
  const sim: Sim = { scheduler, random: new Random(plan.seed), trace, calm };
  const world = new World(
    sim,
    plan.setup,
    makeEtcd?.(() => scheduler.time),
  );
  const unhandled = (error: unknown): void => {
    if (error instanceof Killed) return;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    world.violate({ kind: 'internal', text: `an error that nothing handles: ${text}`, about: [] });
  };
  process.on('unhandledRejection', unhandled);
  try {
    await tell(plan, world);
    // Node.js reports unhandled rejections between turns of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.off('unhandledRejection', unhandled);
  }
  return { violation: world.violation, trace, events: scheduler.events, endedAt: scheduler.time };
}

async function tell(plan: Plan, world: World): Promise<void> {
  const { scheduler, trace } = world.sim;
  for (const { id, at, act } of plan.scenes)
    scheduler.after(at, () => {
      trace.tell(`act ${id}`, () => {
        const about = 'pod' in act ? [act.pod] : [];
        return { text: actText(act), about, always: faultOf(act) !== undefined || act.do === 'cnictl' };
      });
      perform(world, act);
    });
  const last = plan.scenes.at(-1)?.at ?? 0;
  await scheduler.run(last + CALM_AFTER_MS);
  const phases: readonly (readonly [begin: () => void, find: () => Violation | undefined])[] = [
    [() => endFaults(world), () => findWaiting(world) ?? findLost(world) ?? findWithoutPort(world)],
    [() => endPods(world), () => findLeftOvers(world)],
    [() => void world.cnictl('check --release --repair --yes --even-if-no-pods'), () => findLeftOvers(world)],
  ];
  for (const [i, [begin, find]] of phases.entries()) {
    if (scheduler.stopped) return;
    begin();
    await settle(
      world,
      () => (i > 0 || (!plan.setup.patient && world.commands === 0)) && find() === undefined,
    );
    const left = i === 1 ? undefined : find();
    if (left) world.violate(left);
  }
}

/** Lets time pass until nothing is left to wait for, or until nothing may be. */
async function settle({ sim: { scheduler } }: World, isOver: () => boolean): Promise<void> {
  const began = scheduler.time;
  const end = began + SETTLED_AFTER_MS;
  while (scheduler.time < end) {
    await scheduler.run(Math.min(scheduler.time + LOOK_EVERY_MS, end));
    if (scheduler.stopped || (scheduler.time >= began + ARRIVED_AFTER_MS && isOver())) return;
  }
}

function actText({ do: name, ...rest }: Act): string {
  const words = Object.entries(rest).map(([key, value]) => `${key}=${value}`);
  return [name, ...words].join(' ');
}
