/** One pod at a time: ADD and DEL by each contender in turn. Returns every measured value. */
import type { SimulatedNode } from '../support/node.ts';
import { median, percentile, table } from './figures.ts';
import type { SavedSingle } from './saved.ts';
import { execute, timeCall, type Contender } from './timed.ts';

interface Figures {
  readonly add: number[];
  readonly del: number[];
}

export async function benchSingle(
  node: SimulatedNode,
  contenders: readonly Contender[],
  rounds: number,
): Promise<Pick<SavedSingle, 'contenders' | 'bare'>> {
  const figures = contenders.map((): Figures => ({ add: [], del: [] }));
  const bare: number[] = [];
  for (let n = 0; n <= rounds; n++) {
    for (const [i, contender] of contenders.entries()) {
      const pod = await node.makePod(`s${n}`);
      const add = await timeCall(node, contender, 'ADD', pod);
      const del = await timeCall(node, contender, 'DEL', pod);
      await pod.ns.stop();
      // The first round warms the caches of all contenders.
      if (n === 0) continue;
      figures[i]?.add.push(add);
      figures[i]?.del.push(del);
    }
    const { ms } = await execute(node.ns.name, { program: process.execPath, args: ['-e', '0'] });
    if (n > 0) bare.push(ms);
  }
  const theirs = figures.at(-1) ?? { add: [], del: [] };
  const row = (verb: keyof Figures): string[][] =>
    contenders.map(({ name }, i) => {
      const values = figures[i]?.[verb] ?? [];
      return [
        `${verb.toUpperCase()} ${name}`,
        median(values).toFixed(1),
        percentile(values, 95).toFixed(1),
        (percentile(values, 95) / median(values)).toFixed(2),
        (median(values) / median(theirs[verb])).toFixed(2),
        (median(values) / median(bare)).toFixed(2),
      ];
    });
  console.log(`\nOne pod at a time, whole processes in ms, ${rounds} rounds in turn:\n`);
  const head = ['', 'median', 'p95', 'p95/median', 'to bridge+host-local', 'to node -e 0'];
  console.log(table([head, ...row('add'), ...row('del')]));
  console.log(`\nnode -e 0: ${median(bare).toFixed(1)} ms`);
  return { contenders: contenders.map(({ name }, i) => ({ name, add: [], del: [], ...figures[i] })), bare };
}
