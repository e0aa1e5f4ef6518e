import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Act } from '../../sim/acts.ts';
import { runPlan } from '../../sim/run.ts';
import type { Setup } from '../../sim/setup.ts';
import { storyOf } from '../../sim/story.ts';

const SETUP: Setup = {
  machines: ['n1', 'n2'],
  ranges: [{ name: 'blue', cidr: '10.1.0.0/28', blockSize: 4, cooldownSeconds: 0 }],
  families: ['ipv4'],
  probe: false,
  endpoints: 1,
  pageSize: 500,
  etcdLatencyMs: 1,
  agents: true,
  patient: true,
  crowded: false,
  agentShare: 1,
  rules: false,
  keeps: false,
  owns: false,
  edits: false,
};

interface Story {
  readonly name: string;
  readonly setup?: Partial<Setup>;
  /** Each act with its time, in seconds. */
  readonly acts: readonly (readonly [at: number, act: Act])[];
}

const start = (machine: string, pod: string): Act => ({ do: 'start', machine, pod });
const startAll = (at: number, machine: string, pods: readonly string[]): [number, Act][] =>
  pods.map((pod, i) => [at + i / 100, start(machine, pod)]);

/** Stories that broke a rule once, as the simulator found and shortened them. */
const STORIES: readonly Story[] = [
  {
    name: 'etcd is set back to before an allocation, and the node allocates again',
    acts: [
      [1, start('n2', 'first')],
      [30, start('n2', 'lives')],
      [60, { do: 'etcd-set-back', agoMs: 45_000, newId: false }],
      [61, start('n2', 'next')],
    ],
  },
  {
    name: 'etcd loses everything, the operator adds the range again, and another node claims',
    acts: [
      ...startAll(1, 'n1', ['a', 'b', 'c', 'd', 'e']),
      [10, { do: 'etcd-empty', how: 'keys-deleted' }],
      [11, { do: 'add-ranges' }],
      ...startAll(12, 'n2', ['f', 'g', 'h', 'i', 'j']),
    ],
  },
  {
    name: 'a clone of a node boots beside it, under the same node name',
    acts: [
      ...startAll(1, 'n1', ['a', 'b', 'c']),
      [20, { do: 'clone', machine: 'n1', as: 'n1c' }],
      ...startAll(25, 'n1c', ['d', 'e']),
      ...startAll(90, 'n1', ['f', 'g']),
    ],
  },
  {
    name: 'the runtime repeats an ADD that the plugin served beside the agent',
    setup: { agentShare: 0.5 },
    acts: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].flatMap((pod, i): [number, Act][] => [
      [1 + i, start('n1', pod)],
      [1.5 + i, { do: 'again', pod, verb: 'ADD' }],
    ]),
  },
];

suite('what broke a rule once, holds', () => {
  for (const { name, setup, acts } of STORIES)
    test(name, async () => {
      const scenes = acts.map(([at, act], i) => ({ id: i + 1, at: at * 1_000, act }));
      // Several seeds: the order of what happens at the same time differs.
      for (let seed = 1; seed <= 5; seed++) {
        const plan = { seed, setup: { ...SETUP, ...setup }, scenes };
        const { violation, trace } = await runPlan(plan, { trace: true });
        assert.equal(violation, undefined, violation && storyOf(trace, violation).join('\n'));
      }
    });
});
