import { WriteBackLog } from '../../cni/platform/log-write-back.ts';
import type { OpenIpam, Platform } from '../../cni/platform/platform.ts';
import type { Pod } from '../../cni/kube/api.ts';
import { CNI_CODES } from '../../cni/protocol/errors.ts';
import type { Verb } from '../../cni/protocol/request.ts';
import { usedSlots } from '../../ipam/model/block.ts';
import { nodePrefix } from '../../ipam/records/keys.ts';
import { directIpam } from '../../ipam/node/ipam.ts';
import { silentObserver } from '../../ipam/node/observer.ts';
import { callPlugin, type CalledSandbox, type CallOutcome } from './calls.ts';
import type { Machine } from './machine.ts';
import { localNodeOf } from './platform.ts';
import { NEVER, type Process } from './process.ts';
import type { World } from './world.ts';

/** A call of a runtime. */
export interface RuntimeCall {
  readonly verb: Verb;
  /** Undefined for GC. */
  readonly sandbox: CalledSandbox | undefined;
  /** How many steps the plugin makes before it is killed. */
  readonly lives?: number | undefined;
  /** Further keys of the network configuration. */
  readonly config?: object;
}

/**
 * The longest that a call may take once it has its turn, in milliseconds: its servers (ADD 20 s,
 * DEL 10 s), the undo of an ADD (5 s), and work on its own machine (2 s).
 */
const WITHIN_MS: Readonly<Partial<Record<Verb, number>>> = { ADD: 27_000, DEL: 12_000 };

/**
 * Executes the plugin on a machine as its runtime does, and judges how the call ends.
 * @param caller the runtime: when it is killed, it learns of no outcome
 */
export async function callFrom(
  world: World,
  machine: Machine,
  caller: Process,
  { verb, sandbox, lives, config: more }: RuntimeCall,
): Promise<CallOutcome> {
  const { families, probe, agentShare } = world.setup;
  const config = { ipam: { type: 'cellnet-ipam', families }, addressProbe: probe, ...more };
  const name = sandbox ? `${verb} ${sandbox.containerId}` : verb;
  const plugin = machine.spawn(name, lives);
  const about = sandbox ? [sandbox.containerId, sandbox.pod.name] : [];
  const { scheduler, trace } = world.sim;
  const began = scheduler.time;
  const { epoch } = world.etcd;
  // What an earlier ADD of the container has got, a later one that fails does not release.
  const hadAddress = sandbox !== undefined && verb === 'ADD' && hasAddress(world, sandbox.containerId);
  // The record may be right again when the call ends that could not read it.
  const wasKept = sandbox !== undefined && mayBeKept(world, sandbox.pod, machine);
  if (sandbox && verb === 'ADD') world.ended.begin(sandbox.containerId);
  const agent = plugin.random.chance(agentShare) ? world.hosts.get(machine.name)?.agent : undefined;
  trace.tell(plugin.name, () => ({
    text: agent?.alive ? 'begins, by the agent' : 'begins, without agent',
    about,
  }));
  const openIpam = (platform: Platform, expiresAt: number): OpenIpam => ({
    ...directIpam(world.storeOf(plugin, expiresAt), plugin.effects, localNodeOf(platform), {
      ...silentObserver,
      wroteBack: (_, result) => new WriteBackLog(platform.log).tell(result),
    }),
    close: () => undefined,
  });
  const outcome = await callPlugin(
    machine,
    plugin,
    agent,
    { verb, config, ...(sandbox && { sandbox }) },
    openIpam,
  );
  trace.tell(plugin.name, () => ({ text: outcomeText(outcome), about }));
  if (!caller.alive) return await NEVER;
  const turnAt = (sandbox && machine.locks.takenAt.get(sandbox.containerId)) ?? began;
  const took = scheduler.time - Math.max(began, turnAt);
  const limit = WITHIN_MS[verb] ?? Infinity;
  if (took > limit)
    world.violate({
      kind: 'deadline',
      text: `${plugin.name} took ${Math.round(took)} ms: expected ${limit} at most`,
      about,
    });
  if (outcome.kind === 'failed' && outcome.code === CNI_CODES.internal)
    world.violate({ kind: 'internal', text: `${plugin.name}: ${outcome.message}`, about });
  // A repeated ADD needs the record that may hold the addresses of the first one. So does the
  // plugin's when the agent was killed: what the agent sent may give the address yet.
  const isCorrupt = outcome.kind === 'failed' && outcome.code === CNI_CODES['record-corrupt'];
  const repeats =
    hadAddress || (agent && !agent.alive) || wasKept || (sandbox && mayBeKept(world, sandbox.pod, machine));
  if (isCorrupt && verb === 'ADD' && !repeats)
    world.violate({ kind: 'spread', text: `${plugin.name}: ${outcome.message}`, about });
  const hasEnded =
    (verb === 'ADD' && outcome.kind === 'failed' && !hadAddress) ||
    (verb === 'DEL' && outcome.kind === 'done');
  // What a killed agent has sent may still arrive, and nobody is left who knows of it.
  if (!sandbox || !hasEnded || (agent && !agent.alive)) return outcome;
  world.ended.end(sandbox.containerId, machine);
  const left =
    world.etcd.epoch === epoch && world.ended.leftFor(sandbox.containerId, world.etcd.keys, world.reader);
  if (left) world.violate(left);
  return outcome;
}

function outcomeText(outcome: CallOutcome): string {
  switch (outcome.kind) {
    case 'done':
      return ['done', ...(outcome.result.ips ?? []).map(({ address }) => address)].join(' ');
    case 'failed':
      return `fails with code ${outcome.code}: ${outcome.message}`;
    case 'killed':
      return 'was killed';
  }
}

/**
 * Whether a record that cannot be read keeps an address for the pod's name, or is that of the index
 * in which the node would enter it: the pod needs this one.
 */
const mayBeKept = ({ damaged, setup }: World, { name }: Pod, { node }: Machine): boolean =>
  [...damaged].some(
    ([key, record]) =>
      (record.includes('"keep"') && record.includes(JSON.stringify(name))) ||
      ((setup.keeps || setup.owns) && key.startsWith(nodePrefix(node))),
  );

const hasAddress = ({ etcd, reader, living, damaged }: World, containerId: string): boolean =>
  living.carriesAny(containerId) ||
  [...damaged.values()].some((record) => record.includes(JSON.stringify(containerId))) ||
  reader
    .all(etcd.keys)
    .some((block) => usedSlots(block, ({ owner }) => owner.containerId === containerId).length > 0);
