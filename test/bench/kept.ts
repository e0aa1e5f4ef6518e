/**
 * Measures ADD of a pod whose address is kept, on its last node and on another one, beside
 * ADD of a pod that no rule is for, in turn in one run, by the agent; while etcd keeps no other
 * address, and 10,000.
 */
import { offsetAddress, parseAddress, parseCidr } from '../../ipam/model/address.ts';
import { newBlock, type Block, type Slot } from '../../ipam/model/block.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import { blockPrefixLength, type Range } from '../../ipam/model/range.ts';
import { encodeBlock } from '../../ipam/records/block-record.ts';
import { keptWrites } from '../../ipam/records/kept-record.ts';
import { blockKey, nodeKey } from '../../ipam/records/keys.ts';
import { encodeNodeEntry } from '../../ipam/records/node-record.ts';
import { encodeRange } from '../../ipam/records/range-record.ts';
import { encodeRule, encodeRulesChanged, ruleKey, RULES_CHANGED } from '../../ipam/records/rule-record.ts';
import { put, type Write } from '../../ipam/records/transaction.ts';
import { startAgent } from '../support/agent.ts';
import type { Scope } from '../support/netns.ts';
import { startNode, type SimulatedNode } from '../support/node.ts';
import { rule } from '../support/rule.ts';
import { commitIn } from './commit.ts';
import { median, table } from './figures.ts';
import { startBenchNode } from './node.ts';
import { cellnet, timeCall, type Contender } from './timed.ts';

const KEPT = 10_000;
/** ADDs of each kind in each round. */
const ADDS = 6;

const KINDS = ['no rule', 'kept, same node', 'kept, other node'] as const;
type Kind = (typeof KINDS)[number];

export async function benchKept(scope: Scope, rounds: number): Promise<void> {
  const { fabric, node, running } = await startBenchNode(scope, 'kept');
  const other = scope.use(await startNode(fabric, 'kept-other'));
  const agent = scope.use(await startAgent(other));
  const at = (on: SimulatedNode): Contender => cellnet(on, 'agent', on === node ? running.env : agent.env);
  const db = rule('db', { namespace: 'default', pod: 'db-*', ranges: [], keep: {} });
  await commitIn(fabric, [
    put(ruleKey(db), encodeRule(db)),
    put(RULES_CHANGED, encodeRulesChanged(1, 'bench')),
  ]);
  const times = new Map<string, number[]>();
  const time = async (on: SimulatedNode, name: string, key?: string): Promise<void> => {
    const pod = await on.makePod(name);
    const ms = await timeCall(on, at(on), 'ADD', pod);
    if (key !== undefined) times.set(key, [...(times.get(key) ?? []), ms]);
    await timeCall(on, at(on), 'DEL', pod);
    await pod.ns.stop();
  };
  const states = ['none', `${KEPT}`] as const;
  for (const on of [node, other]) await time(on, `db-${on.name}`);
  await time(other, 'db-moves');
  for (const state of states) {
    if (state !== 'none') for (const writes of keptBlocks()) await commitIn(fabric, writes);
    for (let n = 0; n < 2 * Math.ceil((rounds * ADDS) / 2); n++) {
      // Both nodes in turn, so that a pod of theirs each time comes from the other one.
      const on = n % 2 === 0 ? node : other;
      // The other node took an address of this one's block: the first call after that reads again.
      await time(on, 'p', `${state} first`);
      await time(on, 'p', `${state} no rule`);
      await time(on, `db-${on.name}`, `${state} kept, same node`);
      await time(on, 'db-moves', `${state} kept, other node`);
    }
  }
  const of = (state: string, kind: Kind): number => median(times.get(`${state} ${kind}`) ?? []);
  console.log(`\nADD by the agent, ms, medians of ${rounds} rounds of ${ADDS} in turn:\n`);
  console.log(
    table([
      [
        'other kept addresses',
        'first after a move',
        ...KINDS,
        'same node: times no rule',
        'other node: times no rule',
      ],
      ...states.map((state) => {
        const [plain = NaN, same = NaN, moved = NaN] = KINDS.map((kind) => of(state, kind));
        const ratios = [same / plain, moved / plain].map((ratio) => ratio.toFixed(2));
        return [
          state,
          ...[median(times.get(`${state} first`) ?? []), plain, same, moved].map((ms) => ms.toFixed(1)),
          ...ratios,
        ];
      }),
    ]),
  );
}

/** Returns the writes that keep addresses of pods that are gone, some blocks at a time. */
function* keptBlocks(): Iterable<Write[]> {
  const range = makeRange({
    ...{ name: 'kept', cidr: parseCidr('10.64.0.0/16'), gateway: parseAddress('10.64.255.254') },
    ...{ vlan: 120, cooldownMs: 0 },
  });
  yield [put('ranges/kept', encodeRange(range))];
  // Without the range's first block, which has its network address.
  for (let i = 1; i <= KEPT / range.blockSize; i++) {
    const block = fullOfKept(range, i);
    yield [
      put(blockKey(range.name, block.cidr), encodeBlock(block)),
      put(nodeKey(block.node, block.cidr), encodeNodeEntry(block)),
      ...keptWrites([{ before: undefined, after: block }]),
    ];
  }
}

function fullOfKept(range: Range, n: number): Block {
  const base = offsetAddress(range.cidr.base, BigInt(n * range.blockSize));
  const empty = newBlock(range, { base, prefixLength: blockPrefixLength(range) }, 'elsewhere', 0);
  const slots = empty.slots.map((_, i): Slot => ({
    ...{ state: 'kept', keptAt: 1, sequence: i + 1, keep: { rule: 'db', since: 1 } },
    pod: { namespace: 'default', name: `gone-${n}-${i}`, ifname: 'eth0' },
  }));
  return { ...empty, sequence: slots.length, slots };
}
