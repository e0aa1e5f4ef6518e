/**
 * ADD while one of three members of etcd hangs (SIGSTOP: it keeps its connections and answers
 * nothing), in turn with none hung. A hung leader is measured after the others have elected one.
 */
import type { EtcdMember } from '../support/etcd.ts';
import type { Fabric } from '../support/fabric.ts';
import type { Scope } from '../support/netns.ts';
import type { SimulatedNode } from '../support/node.ts';
import { run, until } from '../support/proc.ts';
import { warmUp } from './burst.ts';
import { median, percentile, table } from './figures.ts';
import { startBenchNode } from './node.ts';
import { cellnet, execute, mustSucceed, type Contender } from './timed.ts';

/**
 * How often a member begins to hang. One of the first ADDs after that meets it, the others need
 * not: from 40 pods on, p95 is of those.
 */
const PHASES = 2;
const WARM_PODS = 10;
const STATES = ['none', 'follower', 'leader'] as const;
type State = (typeof STATES)[number];

interface Figures {
  readonly add: number[];
  failed: number;
}

export async function benchHungMember(scope: Scope, rounds: number): Promise<void> {
  const { fabric, node, running } = await startBenchNode(scope, 'hung', 3);
  const contenders = [
    cellnet(node, 'cellnet, agent', running.env),
    cellnet(node, 'cellnet, no agent', { CELLNET_NODE: 'hung-alone' }),
  ];
  await warmUp(node, contenders, WARM_PODS);
  const figures = new Map(
    STATES.flatMap((state) =>
      contenders.map(({ name }): [string, Figures] => [`${name}, ${state}`, { add: [], failed: 0 }]),
    ),
  );
  const perPhase = Math.ceil(rounds / PHASES);
  for (let phase = 0; phase < PHASES; phase++) {
    for (const state of STATES) {
      const hung = await hang(fabric, state);
      try {
        for (let n = 0; n < perPhase; n++) {
          for (const contender of contenders) {
            const own = figures.get(`${contender.name}, ${state}`);
            if (own) await addOnce(node, contender, `${state[0] ?? ''}${phase}-${n}`, own);
          }
        }
      } finally {
        hung?.resume();
      }
      await settled(fabric);
    }
  }
  print(contenders, figures, perPhase * PHASES);
}

/** Makes a member hang, and waits until the others serve. */
async function hang({ etcd, ns }: Fabric, state: State): Promise<EtcdMember | undefined> {
  if (state === 'none') return undefined;
  const leader = await etcd.leader();
  const hung = state === 'leader' ? leader : etcd.members.find((member) => member !== leader);
  hung?.pause();
  const others = etcd.members.filter((member) => member !== hung).map(({ endpoint }) => endpoint);
  await until('the other members to serve', async () => {
    // A majority must confirm the read, so that it fails while there is no leader.
    const args = [`--endpoints=${others.join()}`, '--command-timeout=2s', 'get', 'any'];
    const { code } = await run('etcdctl', args, { netns: ns.name, env: { ETCDCTL_API: '3' } });
    return code === 0;
  });
  return hung;
}

/** Waits until every member serves again. */
async function settled({ etcd }: Fabric): Promise<void> {
  await until('every member to serve', () =>
    etcd.ctl('endpoint', 'health').then(
      () => true,
      () => false,
    ),
  );
}

async function addOnce(
  node: SimulatedNode,
  contender: Contender,
  name: string,
  figures: Figures,
): Promise<void> {
  const pod = await node.makePod(name);
  const { ms, code } = await execute(node.ns.name, contender.job('ADD', pod));
  figures.add.push(ms);
  if (code !== 0) figures.failed++;
  mustSucceed(`DEL of ${contender.name}`, await execute(node.ns.name, contender.job('DEL', pod)));
  await pod.ns.stop();
}

function print(contenders: readonly Contender[], figures: ReadonlyMap<string, Figures>, pods: number): void {
  const rows = contenders.flatMap(({ name }) => {
    const of = (state: State): Figures => figures.get(`${name}, ${state}`) ?? { add: [], failed: 0 };
    const usual = percentile(of('none').add, 95);
    return STATES.map((state) => {
      const { add, failed } = of(state);
      return [
        `${name}, ${state === 'none' ? 'none hung' : `${state} hung`}`,
        median(add).toFixed(1),
        percentile(add, 95).toFixed(1),
        Math.max(...add).toFixed(1),
        (percentile(add, 95) / usual).toFixed(2),
        `${failed}`,
      ];
    });
  });
  console.log(`\nADD with three members of etcd, whole processes in ms, ${pods} pods each, in turn:\n`);
  console.log(table([['', 'median', 'p95', 'longest', 'p95 to none hung', 'failed'], ...rows]));
}
