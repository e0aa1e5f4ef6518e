/** Many pods at once: wall time until the last pod is attached, and until the last is detached. */
import type { SimulatedNode } from '../support/node.ts';
import { median, table } from './figures.ts';
import { executeAll, mustSucceed, type Contender } from './timed.ts';

/**
 * Attaches and detaches many pods with each contender before the measurement. An agent that has
 * served no pod yet is a rare state, and this creates the files that are made only once.
 */
export async function warmUp(
  node: SimulatedNode,
  contenders: readonly Contender[],
  pods: number,
): Promise<void> {
  for (const contender of contenders) await burst(node, contender, pods, 'w');
}

interface Walls {
  readonly add: number;
  readonly del: number;
}

async function burst(
  node: SimulatedNode,
  contender: Contender,
  size: number,
  prefix: string,
): Promise<Walls> {
  const pods = await Promise.all(Array.from({ length: size }, (_, k) => node.makePod(`${prefix}-${k}`)));
  const all = async (verb: 'ADD' | 'DEL'): Promise<number> => {
    const jobs = pods.map((pod) => contender.job(verb, pod));
    const { outcomes, wallMs } = await executeAll(node.ns.name, jobs);
    for (const outcome of outcomes) mustSucceed(`${verb} of ${size} by ${contender.name}`, outcome);
    return wallMs;
  };
  const walls = { add: await all('ADD'), del: await all('DEL') };
  for (const pod of pods) await pod.ns.stop();
  return walls;
}

export async function benchBurst(
  node: SimulatedNode,
  contenders: readonly Contender[],
  sizes: readonly number[],
  rounds: number,
): Promise<void> {
  const rows: string[][] = [];
  for (const size of sizes) {
    const walls = contenders.map(() => ({ add: [] as number[], del: [] as number[] }));
    for (let n = 0; n < rounds; n++) {
      for (const [i, contender] of contenders.entries()) {
        const { add, del } = await burst(node, contender, size, `u${n}`);
        walls[i]?.add.push(add);
        walls[i]?.del.push(del);
      }
    }
    const theirs = walls.at(-1);
    for (const [i, { name }] of contenders.entries()) {
      const { add = [], del = [] } = walls[i] ?? {};
      rows.push([
        `${size} by ${name}`,
        median(add).toFixed(0),
        (median(add) / median(theirs?.add ?? [])).toFixed(2),
        median(del).toFixed(0),
        (median(del) / median(theirs?.del ?? [])).toFixed(2),
      ]);
    }
  }
  console.log(`\nMany at once, wall time in ms, medians of ${rounds} rounds in turn; nothing failed:\n`);
  console.log(table([['', 'ADD', 'to bridge+host-local', 'DEL', 'to bridge+host-local'], ...rows]));
}
