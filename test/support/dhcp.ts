/** A DHCP server on a VLAN of the fabric, and the daemon of the CNI plugin `dhcp` on a node. */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { STOCK_PLUGINS } from './cni.ts';
import type { Fabric } from './fabric.ts';
import { newScope } from './netns.ts';
import type { SimulatedNode } from './node.ts';
import { startDaemon, type Daemon } from './proc.ts';

export interface Lease {
  readonly mac: string;
  readonly ip: string;
}

export interface DhcpServer {
  readonly daemon: Daemon;
  /** Returns the leases that the server has given and that were not released. */
  leases(): Promise<Lease[]>;
  stop(): Promise<void>;
}

export interface DhcpServerOptions {
  readonly vlan: number;
  /** First and last address, and the mask. */
  readonly range: readonly [string, string, string];
  readonly router: string;
  /** Addresses that are reserved, by MAC. */
  readonly reserved?: Readonly<Record<string, string>>;
  /** A MAC whose lease names a router that is in no subnet of the lease, and its address. */
  readonly misled?: readonly [string, string];
  /** After how many seconds clients renew their leases (option 58), at least 3. */
  readonly renewAfterS?: number;
}

/**
 * Starts dnsmasq behind the gateway's interface of the VLAN. Its leases last two minutes, the least
 * that it gives; option 58 makes clients renew them earlier.
 */
export const startDhcpServer = async (
  fabric: Fabric,
  { vlan, range, router, reserved = {}, misled, renewAfterS }: DhcpServerOptions,
): Promise<DhcpServer> => {
  const scope = newScope();
  try {
    const leaseFile = join(await scope.tempDir(), 'leases');
    const args = [
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--user=root',
      // The kernel ends it with the test only while its credentials stay: PR_SET_PDEATHSIG(2const).
      '--group=root',
      '--pid-file=',
      '--log-facility=-',
      '--log-dhcp',
      // No DNS.
      '--port=0',
      `--interface=gw${vlan}`,
      '--except-interface=lo',
      '--bind-interfaces',
      '--dhcp-authoritative',
      '--no-ping',
      `--dhcp-leasefile=${leaseFile}`,
      `--dhcp-range=${range.join(',')},2m`,
      `--dhcp-option=option:router,${router}`,
      ...(renewAfterS === undefined ? [] : [`--dhcp-option=option:T1,${renewAfterS}`]),
      ...(misled
        ? [`--dhcp-host=${misled.join(',set:misled,')}`, '--dhcp-option=tag:misled,option:router,192.0.2.1']
        : []),
      ...Object.entries(reserved).map(([mac, ip]) => `--dhcp-host=${mac},${ip}`),
    ];
    const daemon = await startDaemon('dnsmasq', args, (each) => each.output().includes('DHCP, IP range'), {
      netns: fabric.ns.name,
    });
    scope.defer(() => daemon.stop());
    return { daemon, leases: () => readLeases(leaseFile), stop: () => scope.close() };
  } catch (error) {
    await scope.close();
    throw error;
  }
};

/** A line has the time of expiry, MAC, address, name and client ID. */
const readLeases = async (file: string): Promise<Lease[]> => {
  if (!existsSync(file)) return [];
  return (await readFile(file, 'utf8'))
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, mac, ip]) => (mac !== undefined && ip !== undefined ? [{ mac, ip }] : []));
};

export interface DhcpDaemon {
  readonly daemon: Daemon;
  /** The value of the key `daemonSocketPath` of the plugin's configuration. */
  readonly socket: string;
  /** Returns the number of pods' namespaces that the daemon has open: it has one for each lease. */
  heldNamespaces(): number;
  stop(): Promise<void>;
}

/** Starts `dhcp daemon` on the node. It asks as often as it can, and gives up as early. */
export const startDhcpDaemon = async (node: SimulatedNode): Promise<DhcpDaemon> => {
  const scope = newScope();
  try {
    const socket = join(await scope.tempDir(), 'dhcp.sock');
    const args = ['daemon', '-socketpath', socket, '-timeout', '1s', '-resendmax', '1s'];
    const daemon = await startDaemon(join(STOCK_PLUGINS, 'dhcp'), args, () => existsSync(socket), {
      netns: node.ns.name,
    });
    scope.defer(() => daemon.stop());
    const fds = `/proc/${daemon.pid}/fd`;
    return {
      daemon,
      socket,
      heldNamespaces: () =>
        readdirSync(fds).filter((fd) => readlinkSync(join(fds, fd)).startsWith('/run/netns/')).length,
      stop: () => scope.close(),
    };
  } catch (error) {
    await scope.close();
    throw error;
  }
};
