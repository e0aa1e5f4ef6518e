import { hostname } from 'node:os';
import { realSurroundings } from '../../ipam/retry.ts';
import type { Parts } from '../parts.ts';
import type { Environment } from '../request.ts';
import { NodeState } from '../state/node-state.ts';
import { readBoot } from './boot.ts';
import { lock, tryLock } from './lock.ts';
import { realNamespaces } from './namespaces.ts';
import { announceLater } from './announcer.ts';
import { runDelegate } from './delegate.ts';
import { openLog, type FlushableLog } from './log.ts';

/**
 * The parts of this machine. What is slow to load (etcd's client, the native addons) is loaded when it is first
 * needed: VERSION and a refused configuration need none of it.
 */
export function realParts(env: Environment, plugin: string): Parts & { readonly log: FlushableLog } {
  const log = openLog(env, plugin);
  return {
    now: () => Date.now(),
    hostname: hostname(),
    ...readBoot(),
    openIpam: async (settings, expiresAt) => {
      const { openEtcdStore } = await import('../../ipam/etcd/store.ts');
      const store = openEtcdStore(settings, { expiresAt });
      return { store, around: realSurroundings, close: () => store.close() };
    },
    openSwitch: async (at, deadlineMs) => {
      const { openSwitch } = await import('./switch.ts');
      return openSwitch(at, deadlineMs);
    },
    openKernel: async () => (await import('./kernel.ts')).realKernel,
    namespaces: realNamespaces,
    openState: (dir) => new NodeState(dir, (what) => log.warn('trouble with a record of the node', { what })),
    lock,
    tryLock,
    runDelegate: (call) => runDelegate(call, env),
    isCrowded: () => false,
    announceLater,
    log,
    onStep: () => undefined,
  };
}
