/**
 * Measures ADD without rules, with 5,000 rules of which none is for the pod, and with one that is,
 * in turn in one run: by the agent, which keeps what it has read, and by the plugin alone, which
 * reads again.
 */
import type { Rule } from '../../ipam/model/rule.ts';
import { encodeRule, encodeRulesChanged, ruleKey, RULES_CHANGED } from '../../ipam/records/rule-record.ts';
import { del, put, type Write } from '../../ipam/records/transaction.ts';
import type { Scope } from '../support/netns.ts';
import { rule } from '../support/rule.ts';
import { commitIn } from './commit.ts';
import { median, table } from './figures.ts';
import { startBenchNode } from './node.ts';
import { cellnet, timeCall, type Contender } from './timed.ts';

const RULES = 5_000;
const PATTERNS = 50;
/** ADDs in each state and round: the first one reads the rules. */
const ADDS = 4;

const bluesOf = (name: string, namespace: string): Rule => rule(name, { namespace, ranges: ['blue'] });
const write = (each: Rule): Write => put(ruleKey(each), encodeRule(each));
const own = bluesOf('own', 'default');

type State = 'no rules' | 'others' | 'one for the pod';
const STATES: readonly State[] = ['no rules', 'others', 'one for the pod'];

export async function benchRules(scope: Scope, rounds: number): Promise<void> {
  const { fabric, node, running } = await startBenchNode(scope, 'rules');
  const contenders: readonly Contender[] = [
    cellnet(node, 'agent', running.env),
    cellnet(node, 'no agent', { CELLNET_NODE: 'rules-alone' }),
  ];
  const all = Array.from({ length: RULES }, (_, i) => bluesOf(`r${i}`, i < PATTERNS ? `n${i}-*` : `n${i}`));
  for (let i = 0; i < RULES; i += 100) await commitIn(fabric, all.slice(i, i + 100).map(write));
  // Without this key nobody reads a rule.
  const become = (state: State, mark: number): Promise<unknown> =>
    commitIn(fabric, [
      state === 'no rules' ? del(RULES_CHANGED) : put(RULES_CHANGED, encodeRulesChanged(mark, `${mark}`)),
      state === 'one for the pod' ? write(own) : del(ruleKey(own)),
    ]);
  const times = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const [i, state] of STATES.entries()) {
      await become(state, round * STATES.length + i + 1);
      for (const contender of contenders) {
        for (let n = 0; n < ADDS; n++) {
          const pod = await node.makePod(`p${n}`);
          const ms = await timeCall(node, contender, 'ADD', pod);
          const key = `${contender.name} ${n === 0 ? 'first' : 'later'} ${state}`;
          times.set(key, [...(times.get(key) ?? []), ms]);
          await timeCall(node, contender, 'DEL', pod);
          await pod.ns.stop();
        }
      }
    }
  }
  const of = (who: string, which: string, state: State): number =>
    median(times.get(`${who} ${which} ${state}`) ?? []);
  console.log(`\nADD with ${RULES} rules, ms, medians of ${rounds} rounds in turn:\n`);
  console.log(
    table([
      ['', ...STATES, 'others: ms more', 'one: ms more'],
      ...contenders.flatMap(({ name }) =>
        ['first', 'later'].map((which) => {
          const values = STATES.map((state) => of(name, which, state));
          const [none = NaN, others = NaN, one = NaN] = values;
          const label = which === 'first' ? `${name}, after a change of rules` : name;
          return [
            label,
            ...values.map((ms) => ms.toFixed(1)),
            (others - none).toFixed(2),
            (one - none).toFixed(2),
          ];
        }),
      ),
    ]),
  );
}
