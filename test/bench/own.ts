/**
 * Measures ADD of a pod whose rule has blocks of its own, beside ADD of a pod that no rule is for,
 * in turn in one run, by the agent: on a node that has other addresses of these blocks, while no
 * other node changes them, and after another node has; and on a node that has none.
 */
import { encodeRule, encodeRulesChanged, ruleKey, RULES_CHANGED } from '../../ipam/records/rule-record.ts';
import { put } from '../../ipam/records/transaction.ts';
import { startAgent } from '../support/agent.ts';
import type { Scope } from '../support/netns.ts';
import { startNode, type Pod, type SimulatedNode } from '../support/node.ts';
import { rule } from '../support/rule.ts';
import { commitIn } from './commit.ts';
import { median, table } from './figures.ts';
import { startBenchNode } from './node.ts';
import { cellnet, timeCall, type Contender } from './timed.ts';

/** ADDs of each kind in each round. */
const ADDS = 6;

const KINDS = ['no rule', 'own, alone', 'own, beside others', 'own, first on the node'] as const;
type Kind = (typeof KINDS)[number];

export async function benchOwn(scope: Scope, rounds: number): Promise<void> {
  const { fabric, node, running } = await startBenchNode(scope, 'own');
  const other = scope.use(await startNode(fabric, 'own-other'));
  const agent = scope.use(await startAgent(other));
  const at = (on: SimulatedNode): Contender => cellnet(on, 'agent', on === node ? running.env : agent.env);
  const owning = ['pay', 'web'].map((name) =>
    rule(name, { namespace: 'default', pod: `${name}-*`, ranges: [], ownBlocks: true }),
  );
  await commitIn(fabric, [
    ...owning.map((each) => put(ruleKey(each), encodeRule(each))),
    put(RULES_CHANGED, encodeRulesChanged(1, 'bench')),
  ]);
  const times = new Map<Kind, number[]>();
  const add = async (on: SimulatedNode, name: string, kind?: Kind): Promise<Pod> => {
    const pod = await on.makePod(name);
    const ms = await timeCall(on, at(on), 'ADD', pod);
    if (kind) times.set(kind, [...(times.get(kind) ?? []), ms]);
    return pod;
  };
  const end = async (on: SimulatedNode, pod: Pod): Promise<void> => {
    await timeCall(on, at(on), 'DEL', pod);
    await pod.ns.stop();
  };
  // One that stays on each node, so that it knows the blocks; pods of `web` are on the other alone.
  const staying = [
    [node, await add(node, 'pay-stays')],
    [other, await add(other, 'pay-stays')],
    [other, await add(other, 'web-stays')],
  ] as const;
  for (let n = 0; n < rounds * ADDS; n++) {
    for (const [name, kind] of [
      ['p', 'no rule'],
      ['pay-alone', 'own, alone'],
    ] as const)
      await end(node, await add(node, name, kind));
    const theirs = await add(other, 'pay-theirs');
    await end(node, await add(node, 'pay-beside', 'own, beside others'));
    await end(other, theirs);
    await end(node, await add(node, 'web-first', 'own, first on the node'));
  }
  for (const [on, pod] of staying) await end(on, pod);
  const [plain = NaN, ...own] = KINDS.map((kind) => median(times.get(kind) ?? []));
  console.log(`\nADD by the agent, ms, medians of ${rounds} rounds of ${ADDS} in turn:\n`);
  console.log(
    table([
      [...KINDS],
      [plain, ...own].map((ms) => ms.toFixed(1)),
      ['1', ...own.map((ms) => `${(ms / plain).toFixed(2)} ×`)],
    ]),
  );
}
