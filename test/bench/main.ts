/**
 * `npm run bench` measures eight things: cellnet, with and without its agent, beside `bridge` +
 * `host-local` of containernetworking-plugins, in turn in one run on one simulated node; ADD while
 * a member of etcd hangs, beside ADD while none does; IPAM beside etcd itself; `cnictl check`
 * beside only reading what it reads; Services in the bridge; ADD with rules, and of kept
 * addresses; events behind a writer; the map in a terminal; the page of `cnictl serve` with half a
 * million addresses. Machines differ, so only ratios are comparable.
 *
 *     npm run bench                     everything
 *     npm run bench -- single burst     only these
 *     npm run bench -- single --save    also writes all values to docs/images/bench.json
 *     npm run bench -- --plot           measures nothing: draws that file as docs/images/bench.svg
 *     BENCH_TREES=/a npm run bench -- trees
 *                                       ADD and DEL beside another tree, built in that folder
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseCidr } from '../../ipam/model/address.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import { encodeRange } from '../../ipam/records/range-record.ts';
import type { RunningAgent } from '../support/agent.ts';
import { startEtcd } from '../support/etcd.ts';
import { newScope, type Scope } from '../support/netns.ts';
import type { SimulatedNode } from '../support/node.ts';
import { must } from '../support/proc.ts';
import { benchBurst, warmUp } from './burst.ts';
import { benchCheck } from './check.ts';
import { benchClaims } from './claims.ts';
import { benchEvents } from './events.ts';
import { benchGrowth } from './growth.ts';
import { benchHungMember } from './hung-member.ts';
import { benchIpam } from './ipam.ts';
import { startBenchNode } from './node.ts';
import { benchKept } from './kept.ts';
import { benchMapTerminal } from './map-terminal.ts';
import { benchMap } from './map.ts';
import { benchOwn } from './own.ts';
import { plotSvg } from './plot.ts';
import { benchRules } from './rules.ts';
import { formatSaved, parseSaved, type SavedSingle } from './saved.ts';
import { benchServices } from './services.ts';
import { benchSingle } from './single.ts';
import { cellnet, reference, type Contender } from './timed.ts';
import { benchTrees } from './trees.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 40);
const WARM_PODS = 200;
const ROOT = join(import.meta.dirname, '../..');
const SAVED = join(ROOT, 'docs/images/bench.json');
const PLOT = join(ROOT, 'docs/images/bench.svg');
const PARTS = [
  'single',
  'burst',
  'growth',
  'hung-member',
  'ipam',
  'claims',
  'check',
  'services',
  'rules',
  'kept',
  'own',
  'events',
  'map-terminal',
  'map',
  'trees',
] as const;

interface World {
  readonly node: SimulatedNode;
  readonly agent: Contender;
  readonly alone: Contender;
  readonly theirs: Contender;
  readonly running: RunningAgent;
}

async function build(scope: Scope): Promise<World> {
  const { node, running } = await startBenchNode(scope, 'bench');
  return {
    node,
    agent: cellnet(node, 'cellnet, agent', running.env),
    // Uses another node name: two processes that change the same blocks in turn read them again
    // each time.
    alone: cellnet(node, 'cellnet, no agent', { CELLNET_NODE: 'bench-alone' }),
    theirs: reference(await scope.tempDir()),
    running,
  };
}

async function ipamAlone(scope: Scope): Promise<void> {
  const etcd = scope.use(await startEtcd({ ip: '127.0.0.1', dir: await scope.tempDir() }));
  for (let i = 0; i < 40; i++) {
    const range = makeRange({ name: `r${i}`, cidr: parseCidr(`10.${i}.0.0/22`), cooldownMs: 0 });
    await must('etcdctl', ['put', `/cellnet/v1/ranges/r${i}`, encodeRange(range)], {
      env: { ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: etcd.endpoints.join(',') },
    });
  }
  await benchIpam(etcd, 5);
}

function save(values: Pick<SavedSingle, 'contenders' | 'bare'>): void {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  mkdirSync(dirname(SAVED), { recursive: true });
  const versions = { cellnet: version, node: process.versions.node };
  const at = new Date().toISOString();
  writeFileSync(SAVED, formatSaved({ v: 1, at, versions, processors: availableParallelism(), ...values }));
  console.log(`\nwritten: ${SAVED}`);
}

function plot(): void {
  writeFileSync(PLOT, plotSvg(parseSaved(readFileSync(SAVED, 'utf8'), SAVED)));
  console.log(`drawn: ${PLOT}`);
}

async function measure(wanted: readonly string[], saves: boolean): Promise<void> {
  const unknown = wanted.filter((part) => !PARTS.some((each) => each === part));
  if (unknown.length > 0) throw new Error(`unknown ${unknown.join(', ')}: expected ${PARTS.join(', ')}`);
  const asked = (part: (typeof PARTS)[number]): boolean => wanted.length === 0 || wanted.includes(part);
  const scope = newScope();
  try {
    if (asked('single') || asked('burst') || asked('growth')) {
      const { node, agent, alone, theirs, running } = await build(scope);
      console.log(`Each contender attaches and detaches ${WARM_PODS} pods first.`);
      await warmUp(node, [agent, theirs], WARM_PODS);
      if (asked('single')) {
        const values = await benchSingle(node, [agent, alone, theirs], ROUNDS);
        if (saves) save(values);
      }
      if (asked('burst')) await benchBurst(node, [agent, theirs], [50, 200], 5);
      if (asked('growth')) await benchGrowth(node, agent, running);
    }
    if (asked('rules')) await benchRules(scope, ROUNDS);
    if (asked('kept')) await benchKept(scope, ROUNDS);
    if (asked('own')) await benchOwn(scope, ROUNDS);
    if (asked('hung-member')) await benchHungMember(scope, ROUNDS);
    if (asked('ipam')) await ipamAlone(scope);
    if (asked('claims')) {
      const { endpoints } = scope.use(await startEtcd({ ip: '127.0.0.1', dir: await scope.tempDir() }));
      await benchClaims(endpoints);
    }
    if (asked('check')) await benchCheck(scope, Number(process.env['BENCH_ROUNDS'] ?? 3));
    if (asked('events')) await benchEvents(scope, Number(process.env['BENCH_ROUNDS'] ?? 8));
    if (asked('map-terminal')) await benchMapTerminal(scope, Number(process.env['BENCH_ROUNDS'] ?? 3));
    if (asked('map')) await benchMap(scope);
    if (asked('services')) await benchServices(scope, ROUNDS);
    if (wanted.includes('trees')) await benchTrees(scope, ROUNDS);
  } finally {
    await scope.close();
  }
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { save: { type: 'boolean', default: false }, plot: { type: 'boolean', default: false } },
});
if (values.save && positionals.length > 0 && !positionals.includes('single'))
  throw new Error(`--save beside ${positionals.join(', ')}: expected single, whose values it writes`);
if (positionals.length > 0 || values.save || !values.plot) await measure(positionals, values.save);
if (values.plot) plot();
