import { FAULTS, type Fault, type Scene } from './acts.ts';
import { editScenes } from './edits.ts';
import { keepScenes } from './keeps.ts';
import { ownScenes } from './own.ts';
import { Random } from './random.ts';
import { mayHaveRules, ruleScenes } from './rules.ts';
import type { RangeSetup, Setup } from './setup.ts';
import { Writer } from './writer.ts';

/** A story: a cluster, and what happens to it. */
export interface Plan {
  readonly seed: number;
  readonly setup: Setup;
  /** In the order of their times. */
  readonly scenes: readonly Scene[];
}

/** A story has a share of the allowed faults: few at a time show more than all at once. */
const FEW = 3;
const shareOf = ({ length }: readonly Fault[]): number => (length <= FEW ? 0.9 : 0.5);

/**
 * Expands a seed into a story with some of the allowed faults.
 * @param given what its cluster has in any case
 */
export function makePlan(seed: number, allowed: readonly Fault[], given: Partial<Setup> = {}): Plan {
  const random = new Random(seed).fork('plan');
  const setup = { ...makeSetup(random.fork('setup')), ...given };
  const isChosen = (fault: Fault): boolean => random.fork(`fault ${fault}`).chance(shareOf(allowed));
  const faults = FAULTS.filter((fault) => allowed.includes(fault) && isChosen(fault));
  const scenes = new Writer(random.fork('acts'), setup, faults).write();
  const more = ruleScenes(random.fork('rules'), setup, scenes);
  const again = keepScenes(random.fork('keeps'), setup, [...scenes, ...more], faults);
  const told = [...scenes, ...more, ...again];
  const edits = editScenes(random.fork('edits'), setup, told);
  const all = [...told, ...edits, ...ownScenes(random.fork('owns'), setup, [...told, ...edits])];
  return { seed, setup, scenes: all.sort((a, b) => a.at - b.at) };
}

/** Small ranges and blocks, so that pods soon share them. */
function makeSetup(random: Random): Setup {
  const blockSize = random.pick([4, 4, 8]);
  const cooldownSeconds = random.pick([0, 2, 10, 30]);
  const range = (cidr: string, name: string): RangeSetup => ({ name, cidr, blockSize, cooldownSeconds });
  const dual = random.chance(0.2);
  const setup: Setup = {
    machines: ['n1', 'n2', 'n3'].slice(0, 2 + random.below(2)),
    ranges: [
      range('10.1.0.0/27', 'blue'),
      ...(random.chance(0.3) ? [range('10.2.0.0/28', 'red')] : []),
      ...(dual ? [range('fd00::/122', 'six')] : []),
    ],
    families: dual ? ['ipv4', 'ipv6'] : ['ipv4'],
    probe: random.chance(0.15),
    endpoints: random.pick([1, 1, 3]),
    pageSize: random.pick([2, 5, 500]),
    etcdLatencyMs: random.pick([1, 1, 10, 50]),
    agents: random.chance(0.8),
    patient: random.chance(0.2),
    crowded: random.chance(0.01),
    agentShare: random.pick([1, 1, 0.8, 0.5, 0]),
    rules: false,
    keeps: random.fork('keeps').chance(0.3),
    owns: random.fork('owns').chance(0.25),
    edits: random.fork('edits').chance(0.25),
  };
  // An index of hundreds of blocks in pages of 2 keys takes longer than a call has: etcd's are 500.
  if (setup.crowded) return { ...setup, pageSize: 500 };
  return { ...setup, rules: mayHaveRules(setup) && random.fork('rules').chance(0.5) };
}
