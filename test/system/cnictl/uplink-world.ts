/**
 * A host whose only way out is its uplink: `eth0` leads to a router, where etcd listens. The host
 * has an Open vSwitch of its own with the userspace datapath, and IPv6.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { joinNamespaces, scopedNamespace, type Namespace, type Scope } from '../../support/netns.ts';
import { startOvs, type Ovs } from '../../support/ovs.ts';
import { childEnv, run, type RunResult } from '../../support/proc.ts';

export interface UplinkWorld {
  readonly host: Namespace;
  readonly router: Namespace;
  readonly etcd: Etcd;
  readonly ovs: Ovs;
  readonly stateDir: string;
  /** Runs cnictl on the host. */
  cnictl(...args: string[]): Promise<RunResult>;
  /** Starts cnictl on the host, and does not wait. */
  start(...args: string[]): ChildProcess;
  /** Addresses, routes and MAC of the host's links as `ip` lists them, one a line. */
  network(): Promise<string>;
}

export const ROUTER = '192.0.2.1';

/** What each link has for itself. */
const NOT_MOVED = /^((local|anycast|multicast) )?(fe80|ff00)|inet6 fe80/;
const ROUTES = ['route', 'show', 'table', 'all'];

/** Builds it in a second. */
export const startUplinkWorld = async (scope: Scope): Promise<UplinkWorld> => {
  const host = await scopedNamespace(scope, 'host', { ipv6: true });
  const router = await scopedNamespace(scope, 'router', { ipv6: true });
  await joinNamespaces({ ns: router.name, name: 'lan' }, { ns: host.name, name: 'eth0' });
  const config: [Namespace, string][] = [
    [router, `address add ${ROUTER}/24 dev lan`],
    [router, 'address add 2001:db8::1/64 dev lan nodad'],
    [router, 'address add 203.0.113.1/32 dev lo'],
    [host, 'address add 192.0.2.5/24 brd + dev eth0'],
    [host, 'address add 192.0.2.6/24 dev eth0 label eth0:1'],
    [host, 'address add 198.51.100.5/32 dev eth0 scope link'],
    [host, 'address add 2001:db8::5/64 dev eth0 nodad'],
    [host, 'address add 2001:db8::6/64 dev eth0 nodad valid_lft 7200 preferred_lft 3600'],
    [host, `route add default via ${ROUTER} dev eth0 metric 100 src 192.0.2.5`],
    [host, 'route add 198.51.100.0/24 dev eth0 metric 50 scope link mtu 1400'],
    [host, 'route add 203.0.113.128/25 via 10.9.9.9 dev eth0 onlink metric 7'],
    [host, '-6 route add default via 2001:db8::1 dev eth0 metric 300'],
    [host, '-6 route add 2001:db8:f::/48 via fe80::1 dev eth0 proto ra metric 9 expires 3600'],
  ];
  for (const [ns, line] of config) await ns.exec('ip', ...line.split(' '));
  const dir = await scope.tempDir();
  const stateDir = join(dir, 'state');
  const ovs = scope.use(await startOvs({ netns: host.name, dir: join(dir, 'ovs') }));
  const etcd = scope.use(await startEtcd({ netns: router.name, ip: ROUTER }));
  const env = {
    CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','),
    CELLNET_OVSDB: ovs.remote,
    CELLNET_STATE_DIR: stateDir,
    KUBECONFIG: undefined,
    HOME: dir,
  };
  const program = join(OUR_PLUGINS, 'cnictl');
  return {
    host,
    router,
    etcd,
    ovs,
    stateDir,
    cnictl: (...args) => run(program, args, { env, netns: host.name, timeoutMs: 60_000 }),
    start: (...args) =>
      spawn('ip', ['netns', 'exec', host.name, program, ...args], { env: childEnv(env), stdio: 'ignore' }),
    network: async () => {
      const list = async (...words: string[]): Promise<string[]> =>
        (await host.exec('ip', '-o', ...words))
          .split('\n')
          .map((line) => line.replace(/^\d+: |\d+sec/g, '').trim())
          .filter((line) => /eth0|br-cell/.test(line) && !NOT_MOVED.test(line));
      const routes = [...(await list(...ROUTES)), ...(await list('-6', ...ROUTES))];
      return [...(await list('address')), ...routes.sort()].join('\n');
    },
  };
};
