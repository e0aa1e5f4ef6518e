import type { FaultAct } from './acts.ts';
import { damage } from './bad-records.ts';
import type { EtcdCondition } from './etcd-network.ts';
import type { Sim } from './process.ts';
import type { World } from './world.ts';

/** Lets a fault happen. */
export function cause(world: World, act: FaultAct): void {
  const tell = (where: string, text: string): void =>
    world.sim.trace.tell(where, () => ({ text, always: true }));
  switch (act.do) {
    case 'forget-pod':
      forgetPod(world, act.pod);
      return;
    case 'failed-phase':
      failPhase(world, act.pod, act.forMs);
      return;
    case 'bad-record':
      damage(world, act.which, act.nth, act.forMs);
      return;
    case 'kill-agent':
      killAgent(world, act.machine, act.forMs);
      return;
    case 'power-cut':
      cutPower(world, act.machine, act.forMs);
      return;
    case 'clone':
      clone(world, act.machine, act.as);
      return;
    case 'clock':
      jump(world, act.machine, act.byMs);
      return;
    case 'etcd-trouble':
      troubleEtcd(world, act, act.forMs);
      return;
    case 'etcd-set-back':
      tell('etcd', `is set back to what it had ${act.agoMs} ms ago`);
      world.setBack(act.agoMs, act.newId);
      return;
    case 'etcd-empty':
      tell('etcd', `is empty: ${act.how}`);
      world.empty(act.how);
      return;
    case 'etcd-compact':
      world.etcd.compact();
      return;
    case 'ovs':
      troubleSwitch(world, act.machine, act.how, act.forMs);
      return;
    case 'lose-port': {
      const lost = world.hosts.get(act.machine)?.machine.ovs.losePort(act.nth);
      if (lost !== undefined) tell(act.machine, `port ${lost} is removed`);
      return;
    }
    case 'kube-away':
      during(world.sim, act.forMs, ['the API server is away', 'the API server answers again'], (on) => {
        world.kube.away = on;
      });
      return;
    case 'kube-stale':
      during(
        world.sim,
        act.forMs,
        [`the API server is ${act.byMs} ms behind`, 'the API server is up to date'],
        (on) => {
          world.kube.staleMs = on ? act.byMs : 0;
        },
      );
      return;
  }
}

function forgetPod({ kube, sim }: World, name: string): void {
  const pod = [...kube.pods.values()].find((each) => each.name === name);
  if (!pod) return;
  sim.trace.tell('kube', () => ({ text: `forgets pod ${name}, which still runs`, always: true }));
  kube.removePod(pod);
}

/** A container of the pod runs on for a while, then the pod ends. */
function failPhase({ hosts, kube, sim }: World, name: string, forMs: number): void {
  const pod = [...kube.pods.values()].find((each) => each.name === name);
  if (!pod?.hasRunningContainer) return;
  sim.trace.tell('kube', () => ({
    text: `tells that ${name} has failed; a container still runs`,
    always: true,
  }));
  kube.updatePod(pod, { phase: 'Failed' });
  sim.scheduler.after(forMs, () => {
    for (const { kubelet } of hosts.values()) kubelet.stop(name, 'del');
  });
}

function killAgent(world: World, name: string, forMs: number): void {
  const host = world.hosts.get(name);
  if (!host?.agent?.alive) return;
  world.sim.trace.tell(name, () => ({ text: 'the agent is killed', always: true }));
  host.agent.kill();
  world.sim.scheduler.after(forMs, () => world.startAgent(host));
}

function cutPower(world: World, name: string, forMs: number): void {
  const host = world.hosts.get(name);
  if (!host?.machine.up) return;
  host.machine.losePower();
  world.sim.scheduler.after(forMs, () => world.powerOn(host));
}

function clone(world: World, name: string, as: string): void {
  const original = world.hosts.get(name)?.machine;
  if (!original || world.hosts.has(as)) return;
  world.sim.trace.tell(as, () => ({
    text: `is a clone of ${name}, with the same node name`,
    always: true,
  }));
  world.addHost({ name: as, node: original.node, imageOf: original });
}

function jump({ hosts, sim }: World, name: string, byMs: number): void {
  const machine = hosts.get(name)?.machine;
  if (!machine) return;
  sim.trace.tell(name, () => ({ text: `the wall clock jumps by ${byMs} ms`, always: true }));
  machine.clockOffsetMs += byMs;
}

function troubleEtcd({ network, sim }: World, { how, share, place }: EtcdCondition, forMs: number): void {
  const condition = { how, share, ...(place !== undefined && { place }) };
  const what = `requests ${place === undefined ? '' : `of ${place} `}to etcd`;
  const texts = [`${what} are ${how} (${Math.round(share * 100)} %)`, `${what} pass again`] as const;
  during(sim, forMs, texts, (on) => {
    if (on) network.conditions.add(condition);
    else network.conditions.delete(condition);
  });
}

function troubleSwitch({ hosts, sim }: World, name: string, how: 'hang' | 'away', forMs: number): void {
  const ovs = hosts.get(name)?.machine.ovs;
  if (!ovs) return;
  const texts = [`Open vSwitch on ${name}: ${how}`, `Open vSwitch on ${name} serves`] as const;
  during(sim, forMs, texts, (on) => {
    if (!on) ovs.serve();
    else if (how === 'hang') ovs.hang();
    else ovs.goAway();
  });
}

/** Turns something on, and off again after that time. */
function during(
  { scheduler, trace }: Sim,
  forMs: number,
  [begin, end]: readonly [string, string],
  turn: (on: boolean) => void,
): void {
  trace.tell('fault', () => ({ text: begin, always: true }));
  turn(true);
  scheduler.after(forMs, () => {
    trace.tell('fault', () => ({ text: end, always: true }));
    turn(false);
  });
}
