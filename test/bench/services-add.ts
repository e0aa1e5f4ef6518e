/** ADD on nodes that serve no Services, five and 5,000, one pod at a time and in turn. */
import { median, percentile } from './figures.ts';
import { FEW, MANY, type BenchWorld, type ServedNode } from './services-world.ts';
import { atMost, told, type Row } from './services-rows.ts';
import { cellnet, timeCall } from './timed.ts';

const WARM_UP = 10;

export async function benchAdd({ none, few, many }: BenchWorld, rounds: number): Promise<Row[]> {
  const nodes = [none, few, many];
  const figures = nodes.map(() => ({ add: [] as number[], del: [] as number[] }));
  for (let n = -WARM_UP; n < rounds; n++) {
    // The first of a round finds other caches than the last.
    for (const i of [0, 1, 2].map((each) => (each + n + WARM_UP) % nodes.length)) {
      const served = nodes[i];
      if (!served) continue;
      const times = await onePod(served, `a${n + WARM_UP}`);
      if (n < 0) continue;
      figures[i]?.add.push(times.add);
      figures[i]?.del.push(times.del);
    }
  }
  const [without, withFew, withMany] = figures.map(({ add, del }) => ({
    add: median(add),
    del: median(del),
    p95: percentile(add, 95),
  }));
  if (!without || !withFew || !withMany) return [];
  return [
    told('ADD without Services, ms', without.add, 2),
    told('p95, ms', without.p95, 2),
    atMost(`${FEW} Services: ms more`, 1, withFew.add - without.add, 2),
    told('p95, ms', withFew.p95, 2),
    atMost(`${MANY} Services: ms more`, 1, withMany.add - without.add, 2),
    told('p95, ms', withMany.p95, 2),
    told(`${MANY} Services: ms more than with ${FEW}`, withMany.add - withFew.add, 2),
    told('DEL without Services, ms', without.del, 2),
    told(`DEL with ${MANY} Services, ms`, withMany.del, 2),
  ];
}

async function onePod({ node, agent }: ServedNode, name: string): Promise<{ add: number; del: number }> {
  const contender = cellnet(node, node.name, agent.env);
  const pod = await node.makePod(name);
  const add = await timeCall(node, contender, 'ADD', pod);
  const del = await timeCall(node, contender, 'DEL', pod);
  await pod.ns.stop();
  return { add, del };
}
