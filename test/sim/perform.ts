import type { Act } from './acts.ts';
import { cause } from './faults.ts';
import type { Kubelet } from './kubelet.ts';
import type { World } from './world.ts';

/** Lets an act happen. What it sets off goes on by itself. */
export function perform(world: World, act: Act): void {
  switch (act.do) {
    case 'start':
      world.hosts.get(act.machine)?.kubelet.start(act.pod, act);
      return;
    case 'stop':
      kubeletOf(world, act.pod)?.stop(act.pod, act.ending, act.lives);
      return;
    case 'renew':
      kubeletOf(world, act.pod)?.renew(act.pod, act.ending, act.same);
      return;
    case 'again':
      kubeletOf(world, act.pod)?.again(act.pod, act.verb);
      return;
    case 'gc':
      world.hosts.get(act.machine)?.kubelet.collectGarbage();
      return;
    case 'give-back':
      void world.hosts.get(act.machine)?.agent?.giveBack();
      return;
    case 'add-ranges':
      void world.addRanges();
      return;
    case 'cnictl':
      void world.cnictl(act.argv, act.lives, act.cluster);
      return;
    case 'lose-port':
    case 'forget-pod':
    case 'failed-phase':
    case 'bad-record':
    case 'kill-agent':
    case 'power-cut':
    case 'clone':
    case 'clock':
    case 'etcd-trouble':
    case 'etcd-set-back':
    case 'etcd-empty':
    case 'etcd-compact':
    case 'ovs':
    case 'kube-away':
    case 'kube-stale':
      cause(world, act);
  }
}

function kubeletOf({ hosts }: World, pod: string): Kubelet | undefined {
  return [...hosts.values()].find(({ kubelet }) => kubelet.has(pod))?.kubelet;
}
