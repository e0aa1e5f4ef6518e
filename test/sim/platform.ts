import { openLocalNode, type LocalNodeOptions } from '../../cni/host/local-node.ts';
import { Deadlines } from '../../cni/platform/deadlines.ts';
import type { Log, LogFields, OpenIpam, Platform } from '../../cni/platform/platform.ts';
import { CniError } from '../../cni/protocol/errors.ts';
import type { LocalNode } from '../../ipam/node/local-node.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Machine } from './machine.ts';
import type { Process } from './process.ts';

/** The environment of cellnet's programs on every machine. */
export const ENVIRONMENT = {
  CELLNET_ETCD_ENDPOINTS: 'http://etcd:2379',
  CELLNET_OVSDB: 'unix:/run/ovs/db.sock',
  CELLNET_STATE_DIR: '/var/lib/cellnet',
} as const;

const ETCD: EtcdSettings = { endpoints: [ENVIRONMENT.CELLNET_ETCD_ENDPOINTS], prefix: '/cellnet' };

/** The platform of one program on a machine. */
export function platformOf(
  machine: Machine,
  process: Process,
  openIpam: (settings: EtcdSettings, expiresAt: number) => OpenIpam,
): Platform {
  return {
    now: process.effects.now,
    monotonic: process.effects.monotonic,
    deadlines: new Deadlines(process.effects.monotonic),
    yieldTurn: process.effects.yieldTurn,
    hostname: machine.node,
    bootId: machine.bootId,
    bootedAt: machine.bootedAt,
    machine: () => machine.identity,
    openIpam: (settings, expiresAt) => Promise.resolve(openIpam(settings, expiresAt)),
    openSwitch: (_, expiresAt) => Promise.resolve(machine.ovs.for(process, expiresAt)),
    openKernel: () => Promise.resolve(machine.kernel.for(process)),
    namespaces: machine.kernel.namespacesFor(process),
    openState: () => machine.disk.for(process),
    lock: (_, attachment) => machine.locks.lock(process, attachment),
    tryLock: (_, attachment) => machine.locks.tryLock(process, attachment),
    runDelegate: ({ type }) => Promise.reject(new CniError('invalid-config', `no plugin '${type}' here`)),
    podFacts: () => Promise.reject(new CniError('try-again-later', 'no API server here')),
    inBurst: () => false,
    announceLater: () => undefined,
    log: logOf(process),
    onStep: () => undefined,
  };
}

/** What a program's machine knows by itself. */
export const localNodeOf = (platform: Platform, options: LocalNodeOptions = {}): LocalNode =>
  openLocalNode(platform, ENVIRONMENT.CELLNET_STATE_DIR, ETCD, options);

/** The log goes into the story. */
export function logOf({ sim, name }: Process): Log {
  const log = (message: string, fields: LogFields = {}): void =>
    sim.trace.tell(name, () => {
      const { containerId, ifname: _, network: __, plugin: ___, pod: ____, ...rest } = fields;
      const words = Object.entries(rest).map(([key, value]) => `${key}=${String(value)}`);
      const whose = containerId === undefined ? [] : [String(containerId)];
      const lists = Object.values(fields).flatMap((value) => (typeof value === 'object' ? value : []));
      return { text: ['log:', message, ...whose, ...words].join(' '), about: [...whose, ...lists] };
    });
  return { info: log, warn: log, error: log };
}
