import { hostname } from 'node:os';
import { directIpam } from '../../ipam/node/ipam.ts';
import { silentObserver, type Observer } from '../../ipam/node/observer.ts';
import { ETCD_DEADLINE_MS } from '../platform/connections.ts';
import { Deadlines } from '../platform/deadlines.ts';
import { WriteBackLog } from '../platform/log-write-back.ts';
import type { Platform } from '../platform/platform.ts';
import type { Environment } from '../protocol/request.ts';
import { stateDirOf } from '../protocol/settings.ts';
import { announceLater } from './announcer.ts';
import { readBoot } from './boot.ts';
import { runDelegate } from './delegate.ts';
import { hostEffects } from './effects.ts';
import { openLocalNode } from './local-node.ts';
import { lock, takeTurn, tryLock } from './lock.ts';
import { openLog, type FlushableLog } from './log.ts';
import { keepMachineOf } from './machine.ts';
import { hostNamespaces } from './namespaces.ts';
import { NodeState } from './node-state.ts';
import { PodFacts } from './pod-facts.ts';
import { silentEndpointsIn } from './silent-endpoints.ts';

/**
 * Returns the platform of this node. It loads slow modules (the etcd client, the native addons) on
 * first use: VERSION and a refused configuration need none of them.
 */
export function hostPlatform(env: Environment, plugin: string): Platform & { readonly log: FlushableLog } {
  const log = openLog(env, plugin);
  const local = {
    ...readBoot(),
    machine: () => keepMachineOf(env, stateDirOf(env)),
    openKernel: async () => (await import('./kernel.ts')).hostKernel,
    namespaces: hostNamespaces,
    openState: (dir: string) =>
      new NodeState(dir, (what) => log.warn('trouble with a record of the node', { what })),
    tryLock,
  };
  return {
    ...local,
    now: hostEffects.now,
    monotonic: hostEffects.monotonic,
    deadlines: new Deadlines(hostEffects.monotonic),
    yieldTurn: hostEffects.yieldTurn,
    hostname: hostname(),
    openIpam: async (settings, _, callExpiresAt) => {
      const { openEtcdStore } = await import('../../ipam/store/etcd/store.ts');
      const store = openEtcdStore(settings, {
        deadlineMs: ETCD_DEADLINE_MS,
        expiresAt: callExpiresAt,
        silent: silentEndpointsIn(stateDirOf(env)),
      });
      const node = openLocalNode(local, stateDirOf(env), settings, {
        takeTurn: () => takeTurn(stateDirOf(env)),
      });
      const told = new WriteBackLog(log);
      const observer: Observer = { ...silentObserver, wroteBack: (_, result) => told.tell(result) };
      return { ...directIpam(store, hostEffects, node, observer), close: () => store.close() };
    },
    openSwitch: async (at, expiresAt) => {
      const { openSwitch } = await import('./switch.ts');
      return openSwitch(at, expiresAt);
    },
    lock,
    runDelegate: (call) => runDelegate(call, env),
    podFacts: async (kubeconfig, pod, sources) => {
      const facts = new PodFacts(env, plugin);
      try {
        return await facts.ask(kubeconfig, pod, sources);
      } finally {
        await facts.close();
      }
    },
    inBurst: () => false,
    announceLater,
    log,
    onStep: () => undefined,
  };
}
