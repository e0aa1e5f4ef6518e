/**
 * ADD and DEL of this tree beside those of other ones, built in their folders: `BENCH_TREES` names
 * them, separated by commas. Each tree takes part twice: what it differs from itself is what the
 * machine makes of it, and only a difference beyond that is one of the trees.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseAddress, parseCidr } from '../../ipam/model/address.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import { encodeRange } from '../../ipam/records/range-record.ts';
import { startAgent } from '../support/agent.ts';
import { REPOSITORY, type Verb } from '../support/cni.ts';
import { startFabric } from '../support/fabric.ts';
import type { Scope } from '../support/netns.ts';
import { startNode, type SimulatedNode } from '../support/node.ts';
import { warmUp } from './burst.ts';
import { median, table } from './figures.ts';
import { cellnet, timeCall, type Contender } from './timed.ts';

const WARM_PODS = 200;
/** A call without the agent takes twenty times as long. */
const ALONE_EVERY = 10;

interface Entrant {
  readonly name: string;
  readonly node: SimulatedNode;
  readonly agent: Contender;
  readonly alone: Contender;
  readonly figures: Map<string, number[]>;
}

export async function benchTrees(scope: Scope, rounds: number): Promise<void> {
  const others = (process.env['BENCH_TREES'] ?? '').split(',').filter((tree) => tree !== '');
  if (others.length === 0)
    throw new Error('BENCH_TREES names no tree to compare with: expected folders, each with its dist/');
  const trees = [...others.map((tree) => resolve(tree)), REPOSITORY];
  const missing = trees.find((tree) => !existsSync(join(tree, 'dist/bin/cellnetd')));
  if (missing !== undefined) throw new Error(`${missing} has no dist/bin/cellnetd: run npm run build there`);
  const entrants = await enter(scope, trees);
  for (let n = 0; n <= rounds; n++) {
    const turned = entrants.map((_, i) => entrants[(i + n) % entrants.length]);
    for (const entrant of n % 2 === 0 ? turned : turned.reverse()) if (entrant) await attachOnce(entrant, n);
  }
  const [first] = entrants;
  if (!first) return;
  console.log(`\nADD and DEL of trees beside one another, medians in ms, ${rounds} rounds in turn:\n`);
  const kinds = [...first.figures.keys()];
  const row = ({ name, figures }: Entrant): string[] => [
    name,
    ...kinds.flatMap((kind) => {
      const mine = median(figures.get(kind) ?? []);
      return [mine.toFixed(2), (mine / median(first.figures.get(kind) ?? [])).toFixed(3)];
    }),
  ];
  console.log(table([['', ...kinds.flatMap((kind) => [kind, 'to first'])], ...entrants.map(row)]));
}

/** Starts a node for each tree, twice, and warms it up. */
async function enter(scope: Scope, trees: readonly string[]): Promise<Entrant[]> {
  const fabric = scope.use(await startFabric({ etcd: { members: 1 } }));
  const range = makeRange({
    name: 'blue',
    cidr: parseCidr('10.20.0.0/20'),
    gateway: parseAddress('10.20.0.1'),
    vlan: 120,
    cooldownMs: 0,
  });
  await fabric.etcd.ctl('put', '/cellnet/v1/ranges/blue', encodeRange(range));
  const entrants: Entrant[] = [];
  for (const [i, tree] of [...trees, ...trees].entries()) {
    const plugins = join(tree, 'dist/bin');
    const node = scope.use(await startNode(fabric, `tree-${i}`));
    const running = scope.use(await startAgent(node, undefined, [], { plugins }));
    const name = tree === REPOSITORY ? 'this tree' : tree;
    const agent = cellnet(node, name, running.env, plugins);
    await warmUp(node, [agent], WARM_PODS);
    const alone = cellnet(node, name, { CELLNET_NODE: `tree-${i}-alone` }, plugins);
    entrants.push({ name, node, agent, alone, figures: new Map() });
  }
  return entrants;
}

/** @param n of the round; the first one warms up */
async function attachOnce({ node, agent, alone, figures }: Entrant, n: number): Promise<void> {
  const timed = async (contender: Contender, what: string): Promise<void> => {
    const pod = await node.makePod(`t${n}`);
    for (const verb of ['ADD', 'DEL'] satisfies Verb[]) {
      const ms = await timeCall(node, contender, verb, pod);
      if (n > 0) figures.set(`${verb}${what}`, [...(figures.get(`${verb}${what}`) ?? []), ms]);
    }
    await pod.ns.stop();
  };
  await timed(agent, '');
  if (n % ALONE_EVERY === 1) await timed(alone, ' without agent');
}
