/**
 * `npm run bench`: ADD and DEL of cellnet beside `bridge` + `host-local` of containernetworking-plugins, in turn in one run
 * on one simulated node, and bare `node -e 0` for what starting Node costs. Machines differ: only ratios hold.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeRange } from '../../ipam/records.ts';
import { makeRange } from '../../ipam/new-range.ts';
import { parseAddress, parseCidr } from '../../ipam/address.ts';
import { cni, STOCK_PLUGINS, type CniOutcome, type Verb } from '../support/cni.ts';
import { startFabric } from '../support/fabric.ts';
import { newScope } from '../support/netns.ts';
import { newContainerId, startNode, type Pod, type SimulatedNode } from '../support/node.ts';
import { must } from '../support/proc.ts';
import { median, percentile, table } from './figures.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 40);

/** One way of attaching a pod, which is timed. */
interface Contender {
  readonly name: string;
  call(verb: Verb, pod: Pod): Promise<CniOutcome>;
}

function ours(node: SimulatedNode): Contender {
  return { name: 'cellnet (no agent)', call: (verb, pod) => node.call(verb, pod) };
}

function reference(node: SimulatedNode, dataDir: string): Contender {
  const config = {
    cniVersion: '1.0.0',
    name: 'reference',
    type: 'bridge',
    bridge: 'ref0',
    ipam: { type: 'host-local', dataDir, ranges: [[{ subnet: '10.88.0.0/16' }]] },
  };
  return {
    name: 'bridge + host-local',
    call: (verb, pod) =>
      cni(join(STOCK_PLUGINS, 'bridge'), verb, {
        containerId: pod.containerId,
        netns: pod.ns.path,
        config,
        path: STOCK_PLUGINS,
        runIn: node.ns.name,
      }),
  };
}

/** Both verbs of one contender on a fresh pod, in milliseconds of the whole process. */
async function round(
  node: SimulatedNode,
  contender: Contender,
  n: number,
): Promise<{ add: number; del: number }> {
  const pod = await node.makePod(`b${n}`, { containerId: newContainerId() });
  const timed = async (verb: Verb): Promise<number> => {
    const outcome = await contender.call(verb, pod);
    if (outcome.code !== 0)
      throw new Error(`${verb} of ${contender.name}: ${outcome.stdout}${outcome.stderr}`);
    return outcome.ms;
  };
  const add = await timed('ADD');
  const del = await timed('DEL');
  await pod.ns.stop();
  return { add, del };
}

async function bareNode(node: SimulatedNode): Promise<number> {
  const started = performance.now();
  await must('ip', ['netns', 'exec', node.ns.name, process.execPath, '-e', '0']);
  return performance.now() - started;
}

async function main(): Promise<void> {
  const scope = newScope();
  const dataDir = await mkdtemp(join(tmpdir(), 'cellnet-bench-'));
  scope.defer(() => rm(dataDir, { recursive: true, force: true }));
  try {
    const fabric = scope.use(await startFabric());
    const node = scope.use(await startNode(fabric, 'bench'));
    const range = {
      name: 'blue',
      cidr: parseCidr('10.20.0.0/22'),
      gateway: parseAddress('10.20.0.1'),
      vlan: 120,
      cooldownMs: 0,
    };
    await fabric.etcd.ctl('put', '/cellnet/v1/ranges/blue', encodeRange(makeRange(range)));
    const contenders = [ours(node), reference(node, dataDir)];
    const figures = contenders.map(() => ({ add: [] as number[], del: [] as number[] }));
    const node0: number[] = [];
    for (let n = 0; n <= ROUNDS; n++) {
      for (const [i, contender] of contenders.entries()) {
        const { add, del } = await round(node, contender, n);
        // The first round warms the caches of all.
        if (n === 0) continue;
        figures[i]?.add.push(add);
        figures[i]?.del.push(del);
      }
      if (n > 0) node0.push(await bareNode(node));
    }
    const [mine, theirs] = figures;
    if (!mine || !theirs) throw new Error('nothing was measured');
    const row = (what: string, a: number[], b: number[]): string[] => [
      what,
      `${median(a).toFixed(1)} (p95 ${percentile(a, 95).toFixed(1)})`,
      `${median(b).toFixed(1)} (p95 ${percentile(b, 95).toFixed(1)})`,
      (median(a) / median(b)).toFixed(2),
    ];
    console.log(`\nWhole processes, milliseconds, medians of ${ROUNDS} rounds in turn:\n`);
    console.log(
      table([
        ['', ...contenders.map((each) => each.name), 'ratio'],
        row('ADD', mine.add, theirs.add),
        row('DEL', mine.del, theirs.del),
      ]),
    );
    console.log(
      `\nnode -e 0: ${median(node0).toFixed(1)} ms; ADD of cellnet is ${(median(mine.add) / median(node0)).toFixed(2)} times that.`,
    );
  } finally {
    await scope.close();
  }
}

await main();
