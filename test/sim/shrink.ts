import type { Scene } from './acts.ts';
import type { ViolationKind } from './invariants.ts';
import type { Plan } from './plan.ts';
import { runPlan, type RunOptions } from './run.ts';

/** A story that fails, as short as it could be made. */
export interface Shrunk {
  readonly plan: Plan;
  /** Whether all latencies are alike. */
  readonly calm: boolean;
}

/** Longest time between two acts of a story that is made shorter, in milliseconds. */
const SHORT_MS = 1_000;

/**
 * Cuts a failing story down: acts go while it still fails in the same way, latencies become alike,
 * and long pauses short.
 */
export async function shrink(
  plan: Plan,
  kind: ViolationKind,
  options: Pick<RunOptions, 'makeEtcd'> = {},
): Promise<Shrunk> {
  const fails = async (scenes: readonly Scene[], calm: boolean): Promise<boolean> =>
    (await runPlan({ ...plan, scenes }, { ...options, calm })).violation?.kind === kind;
  let scenes = await without(plan.scenes, (fewer) => fails(fewer, false));
  const calm = await fails(scenes, true);
  if (calm) scenes = await without(scenes, (fewer) => fails(fewer, true));
  scenes = await closer(scenes, (nearer) => fails(nearer, calm));
  return { plan: { ...plan, scenes }, calm };
}

/** Leaves out as many scenes as it can, first in large parts, then one by one (delta debugging). */
async function without(
  scenes: readonly Scene[],
  fails: (fewer: readonly Scene[]) => Promise<boolean>,
): Promise<readonly Scene[]> {
  let left = scenes;
  let size = Math.ceil(left.length / 2);
  for (;;) {
    const before = left.length;
    for (let at = left.length - size; at > -size; at -= size) {
      const fewer = left.filter((_, i) => i < at || i >= at + size);
      if (fewer.length < left.length && (await fails(fewer))) left = fewer;
    }
    if (size > 1) size = Math.ceil(size / 2);
    else if (left.length === before) return left;
  }
}

/** Moves the scenes closer together, pause by pause. */
async function closer(
  scenes: readonly Scene[],
  fails: (nearer: readonly Scene[]) => Promise<boolean>,
): Promise<readonly Scene[]> {
  let left = scenes;
  for (let i = 0; i < left.length; i++) {
    const pause = (left[i]?.at ?? 0) - (left[i - 1]?.at ?? 0);
    if (pause <= SHORT_MS) continue;
    const nearer = left.map((scene, n) => (n < i ? scene : { ...scene, at: scene.at - pause + SHORT_MS }));
    if (await fails(nearer)) left = nearer;
  }
  return left;
}

/** Returns the scenes for `--plan`: their numbers, and their times where these differ. */
export function planText(scenes: readonly Scene[], original: Plan): string {
  const times = new Map(original.scenes.map(({ id, at }) => [id, at]));
  return scenes.map(({ id, at }) => (times.get(id) === at ? `${id}` : `${id}@${at}`)).join(',');
}

/**
 * Returns the plan with the scenes that the text names.
 * @throws Error naming a part that is no scene of the plan
 */
export function parsePlan(text: string, plan: Plan): Plan {
  const scenes = text.split(',').map((part) => {
    const [, id, at] = /^(\d+)(?:@(\d+))?$/.exec(part) ?? [];
    const scene = plan.scenes.find((each) => String(each.id) === id);
    if (!scene)
      throw new Error(
        `--plan: '${part}' is no scene of seed ${plan.seed}: expected NUMBER or NUMBER@MILLISECONDS`,
      );
    return { ...scene, at: at === undefined ? scene.at : Number(at) };
  });
  return { ...plan, scenes: scenes.sort((a, b) => a.at - b.at) };
}
