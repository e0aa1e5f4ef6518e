/**
 * A real podman (4.3, network backend CNI), private to the test: it has its own storage, networks
 * and network namespace.
 *
 * The namespace is entered with nsenter and not with `ip netns exec`. The latter gives each call
 * its own mount namespace: podman would mount the container's namespace under /run/netns there, and
 * the mount would be lost when the call ends.
 *
 * Podman's CNI library supports versions up to 1.0.0. When a configuration fails its validation
 * (for example because a plugin's VERSION lacks the cniVersion), podman only warns and uses a
 * bridge of its own. startPodman throws in that case.
 */
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newScope } from './netns.ts';
import { must, run, type RunResult } from './proc.ts';

export interface PodmanOptions {
  /** Name of the network namespace that plays the host. */
  readonly netns: string;
  /** The folders where podman looks for plugins. The first match wins. */
  readonly cniDirs: readonly string[];
  /** `name` is the network's name. The cniVersion is 1.0.0 at most. */
  readonly conflist: { readonly name: string; readonly [key: string]: unknown };
  /** Environment of podman, which the plugins inherit: CELLNET_… of a simulated node. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Podman {
  /**
   * Starts a container on the network and returns its ID.
   * Equivalent to: podman run -d --name NAME IMAGE COMMAND…
   */
  start(name: string, ...command: string[]): Promise<string>;
  /** Does as `start`, with further options of `podman run`. */
  startWith(options: readonly string[], name: string, ...command: string[]): Promise<string>;
  /** Runs any podman command: `exec`, `ps` and so on. */
  run(...args: string[]): Promise<RunResult>;
  /** Does as `run` and returns stdout. Rejects when the status is not 0. */
  must(...args: string[]): Promise<string>;
  /**
   * Returns the address, MAC and gateway that podman recorded for the container, and its process
   * ID.
   */
  inspect(name: string): Promise<{ ip: string; mac: string; gateway: string; pid: number }>;
  /**
   * Removes the container; a missing container is no error. Equivalent to: podman rm -f -i -t 0
   * NAME
   */
  rm(name: string): Promise<void>;
  /** Removes every container (the plugin gets a DEL for each), then the storage. */
  stop(): Promise<void>;
}

const IMAGE = 'localhost/cellnet-test:1';

const config = (dir: string, { cniDirs, conflist }: PodmanOptions): string => `
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "${dir}/tmp"
static_dir = "${dir}/static"
volume_path = "${dir}/volumes"
[network]
network_backend = "cni"
cni_plugin_dirs = ${JSON.stringify(cniDirs)}
network_config_dir = "${dir}/networks"
default_network = "${conflist.name}"
`;

/**
 * Returns the path of a tar of a root file system with only busybox: the smallest one that has sh,
 * ip, ping and nc.
 */
export const busyboxImage = async (dir: string): Promise<string> => {
  const root = join(dir, 'rootfs');
  for (const folder of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'run'])
    await mkdir(join(root, folder), { recursive: true });
  await copyFile('/bin/busybox', join(root, 'bin/busybox'));
  for (const applet of ['sh', 'sleep', 'ip', 'ping', 'nc', 'cat', 'ls', 'arping']) {
    await symlink('busybox', join(root, 'bin', applet));
  }
  const tar = join(dir, 'image.tar');
  await must('tar', ['-C', root, '-cf', tar, '.']);
  return tar;
};

interface Inspected {
  readonly State: { readonly Pid: number };
  readonly NetworkSettings: {
    readonly Networks: Readonly<Record<string, { IPAddress: string; MacAddress: string; Gateway: string }>>;
  };
}

export const startPodman = async (options: PodmanOptions): Promise<Podman> => {
  const { netns, conflist, env } = options;
  const scope = newScope();
  const dir = await scope.tempDir();
  const containersConf = join(dir, 'containers.conf');
  const global = [
    '--root',
    join(dir, 'root'),
    '--runroot',
    join(dir, 'runroot'),
    '--storage-driver',
    'vfs',
    '--runtime',
    '/usr/sbin/runc',
  ];
  const podmanArgs = (args: readonly string[]): string[] => [
    `--net=/run/netns/${netns}`,
    'podman',
    ...global,
    ...args,
  ];
  const podmanEnv = { env: { ...env, CONTAINERS_CONF: containersConf }, timeoutMs: 60_000 };
  const podman = (...args: string[]): Promise<RunResult> => run('nsenter', podmanArgs(args), podmanEnv);
  const mustPodman = (...args: string[]): Promise<string> => must('nsenter', podmanArgs(args), podmanEnv);

  try {
    await mkdir(join(dir, 'networks'));
    await writeFile(join(dir, 'networks', '10-test.conflist'), JSON.stringify(conflist));
    await writeFile(containersConf, config(dir, options));
    await mustPodman('import', await busyboxImage(dir), IMAGE);
    scope.defer(async () => {
      await mustPodman('rm', '-f', '-t', '0', '--all');
    });
    const networks = await podman('network', 'ls');
    if (networks.stderr.includes('CNI config'))
      throw new Error(`podman refuses the network: ${networks.stderr}`);
  } catch (error) {
    await scope.close();
    throw error;
  }
  const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1000:1000'];
  const startWith: Podman['startWith'] = async (flags, name, ...command) => {
    const network = ['--name', name, '--network', conflist.name];
    return (await mustPodman('run', '-d', ...network, ...limits, ...flags, IMAGE, ...command)).trim();
  };
  return {
    start: (name, ...command) => startWith([], name, ...command),
    startWith,
    run: podman,
    must: mustPodman,
    inspect: async (name) => {
      const [container] = JSON.parse(await mustPodman('inspect', name)) as Inspected[];
      const network = container?.NetworkSettings.Networks[conflist.name];
      if (!container || !network) throw new Error(`container ${name} is not on the network ${conflist.name}`);
      return {
        ip: network.IPAddress,
        mac: network.MacAddress,
        gateway: network.Gateway,
        pid: container.State.Pid,
      };
    },
    rm: async (name) => {
      await mustPodman('rm', '-f', '-i', '-t', '0', name);
    },
    stop: () => scope.close(),
  };
};
