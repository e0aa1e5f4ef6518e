/** Many pods at once: wall time until the last is attached, and until the last is gone. */
import { median, table } from './figures.ts';
import type { SimulatedNode } from '../support/node.ts';
import { executeAll, mustSucceed, type Contender } from './timed.ts';

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
        const pods = await Promise.all(Array.from({ length: size }, (_, k) => node.makePod(`u${n}-${k}`)));
        for (const verb of ['ADD', 'DEL'] as const) {
          const jobs = pods.map((pod) => contender.job(verb, pod));
          const { outcomes, wallMs } = await executeAll(node.ns.name, jobs);
          walls[i]?.[verb === 'ADD' ? 'add' : 'del'].push(wallMs);
          for (const outcome of outcomes) mustSucceed(`${verb} of ${size} by ${contender.name}`, outcome);
        }
        for (const pod of pods) await pod.ns.stop();
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
