import { hostname } from 'node:os';
import { directIpam } from '../../ipam/node/ipam.ts';
import { Deadlines } from '../platform/deadlines.ts';
import type { Platform } from '../platform/platform.ts';
import type { Environment } from '../protocol/request.ts';
import { announceLater } from './announcer.ts';
import { readBoot } from './boot.ts';
import { runDelegate } from './delegate.ts';
import { hostEffects } from './effects.ts';
import { lock, tryLock } from './lock.ts';
import { openLog, type FlushableLog } from './log.ts';
import { hostNamespaces } from './namespaces.ts';
import { NodeState } from './node-state.ts';

/**
 * Returns the platform of this node. It loads slow modules (the etcd client, the native addons) on
 * first use: VERSION and a refused configuration need none of them.
 */
export function hostPlatform(env: Environment, plugin: string): Platform & { readonly log: FlushableLog } {
  const log = openLog(env, plugin);
  return {
    now: hostEffects.now,
    monotonic: hostEffects.monotonic,
    deadlines: new Deadlines(hostEffects.monotonic),
    yieldTurn: hostEffects.yieldTurn,
    hostname: hostname(),
    ...readBoot(),
    openIpam: async (settings, expiresAt) => {
      const { openEtcdStore } = await import('../../ipam/store/etcd/store.ts');
      const store = openEtcdStore(settings, { expiresAt });
      return { ...directIpam(store, hostEffects), close: () => store.close() };
    },
    openSwitch: async (at, expiresAt) => {
      const { openSwitch } = await import('./switch.ts');
      return openSwitch(at, expiresAt);
    },
    openKernel: async () => (await import('./kernel.ts')).hostKernel,
    namespaces: hostNamespaces,
    openState: (dir) => new NodeState(dir, (what) => log.warn('trouble with a record of the node', { what })),
    lock,
    tryLock,
    runDelegate: (call) => runDelegate(call, env),
    inBurst: () => false,
    announceLater,
    log,
    onStep: () => undefined,
  };
}
