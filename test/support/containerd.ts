/**
 * A real containerd, private to the test. The test calls it as the kubelet does: CRI over its unix
 * socket. For each sandbox containerd calls the CNI plugins of one configuration file.
 *
 * containerd enters the network namespace that plays the host with nsenter and not with `ip netns
 * exec`, for the reason given in podman.ts. containerd's shims outlive it by design, so stop()
 * removes every sandbox first.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { newScope } from './netns.ts';
import { busyboxImage } from './podman.ts';
import { must, run, startDaemon, until, type RunResult } from './proc.ts';

export interface ContainerdOptions {
  /** Name of the network namespace that plays the host. */
  readonly netns: string;
  /** Paths of plugins. startContainerd links them into the one directory where containerd looks. */
  readonly plugins: readonly string[];
  /** containerd 1.6 supports CNI versions up to 1.0.0. */
  readonly conflist: object;
  /** Environment of containerd, which the plugins inherit. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Sandbox {
  readonly id: string;
  readonly uid: string;
  readonly ips: readonly string[];
  readonly pid: number;
  /** Runs a program of this machine in the sandbox's network namespace. */
  exec(command: string, ...args: string[]): Promise<RunResult>;
}

export interface Containerd {
  /** Rejects with the runtime's message when the sandbox fails, for example in the plugin's ADD. */
  runSandbox(name: string, namespace?: string): Promise<Sandbox>;
  /** Calls StopPodSandbox (the plugin's DEL) and RemovePodSandbox. */
  removeSandbox(id: string): Promise<void>;
  stop(): Promise<void>;
}

/**
 * The part of k8s.io/cri-api pkg/apis/runtime/v1/api.proto that tests use. The field numbers are
 * the wire format.
 */
const CRI = `
syntax = "proto3"; package runtime.v1;
message Metadata { string name = 1; string uid = 2; string namespace = 3; uint32 attempt = 4; }
message SecurityContext { }
message Linux { string cgroup_parent = 1; SecurityContext security_context = 2; }
message SandboxConfig { Metadata metadata = 1; string hostname = 2; string log_directory = 3; Linux linux = 8; }
message RunRequest { SandboxConfig config = 1; string runtime_handler = 2; }
message IdRequest { string pod_sandbox_id = 1; bool verbose = 2; }
message IdResponse { string pod_sandbox_id = 1; }
message Empty { }
message PodIP { string ip = 1; }
message Network { string ip = 1; repeated PodIP additional_ips = 2; }
message SandboxStatus { string id = 1; Network network = 5; }
message StatusResponse { SandboxStatus status = 1; map<string, string> info = 2; }
message Condition { string type = 1; bool status = 2; string reason = 3; string message = 4; }
message RuntimeStatus { repeated Condition conditions = 1; }
message RuntimeStatusResponse { RuntimeStatus status = 1; }
`;

const IMAGE = 'localhost/cellnet-pause:1';

const config = (dir: string): string => `
version = 2
root = "${dir}/root"
state = "${dir}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "${dir}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "${dir}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${IMAGE}"
  disable_apparmor = true
  disable_cgroup = true
  disable_tcp_service = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${dir}/bin"
    conf_dir = "${dir}/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "/usr/sbin/runc"
`;

/**
 * Returns a `docker save` archive of the busybox file system. Its process sleeps, as a sandbox's
 * process should.
 */
const pauseImage = async (dir: string): Promise<string> => {
  const layer = await busyboxImage(dir);
  const digest = createHash('sha256')
    .update(await readFile(layer))
    .digest('hex');
  const architecture = { x64: 'amd64', arm: 'arm', arm64: 'arm64' }[process.arch as string] ?? process.arch;
  const image = {
    architecture,
    os: 'linux',
    config: { Cmd: ['/bin/sleep', '86400'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
  };
  await writeFile(join(dir, 'config.json'), JSON.stringify(image));
  const manifest = [{ Config: 'config.json', RepoTags: [IMAGE], Layers: ['image.tar'] }];
  await writeFile(join(dir, 'manifest.json'), JSON.stringify(manifest));
  const archive = join(dir, 'pause.tar');
  await must('tar', ['-C', dir, '-cf', archive, 'manifest.json', 'config.json', 'image.tar']);
  return archive;
};

type Call = (
  method: string,
  request: string,
  response: string,
  message: object,
) => Promise<Record<string, unknown>>;

/** Makes unary CRI calls by method name, each with a deadline of 60 s. */
const criClient = (socket: string): { call: Call; close: () => void } => {
  const { root } = protobuf.parse(CRI, { keepCase: true });
  const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure());
  const call: Call = (method, request, response, message) => {
    const [asked, answered] = [
      root.lookupType(`runtime.v1.${request}`),
      root.lookupType(`runtime.v1.${response}`),
    ];
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        `/runtime.v1.RuntimeService/${method}`,
        (value: object) => Buffer.from(asked.encode(asked.fromObject(value)).finish()),
        (bytes: Buffer) => answered.toObject(answered.decode(bytes), { defaults: true }),
        message,
        { deadline: Date.now() + 60_000 },
        (error, value) => (error ? reject(error) : resolve(value ?? {})),
      );
    });
  };
  return { call, close: () => client.close() };
};

interface SandboxState {
  readonly status: {
    readonly network?: { readonly ip: string; readonly additional_ips: readonly { ip: string }[] };
  };
  readonly info: { readonly info: string };
}

export const startContainerd = async ({
  netns,
  plugins,
  conflist,
  env,
}: ContainerdOptions): Promise<Containerd> => {
  const scope = newScope();
  try {
    const dir = await scope.tempDir();
    for (const folder of ['bin', 'net.d', 'opt', 'image']) await mkdir(join(dir, folder));
    await must('ln', ['-s', ...plugins, join(dir, 'bin')]);
    await writeFile(join(dir, 'net.d', '10-test.conflist'), JSON.stringify(conflist));
    await writeFile(join(dir, 'config.toml'), config(dir));
    const socket = join(dir, 'containerd.sock');
    const ctr = (...args: string[]): Promise<string> =>
      must('ctr', ['--address', socket, '--namespace', 'k8s.io', ...args]);
    const daemon = await startDaemon(
      'nsenter',
      [`--net=/run/netns/${netns}`, 'containerd', '--config', join(dir, 'config.toml')],
      (it) => it.output().includes('containerd successfully booted'),
      { ...(env && { env }), timeoutMs: 20_000 },
    );
    scope.use(daemon);
    await ctr('images', 'import', await pauseImage(join(dir, 'image')));
    const { call, close } = criClient(socket);
    scope.defer(close);
    const live = new Set<string>();
    const removeSandbox = async (id: string): Promise<void> => {
      await call('StopPodSandbox', 'IdRequest', 'Empty', { pod_sandbox_id: id });
      await call('RemovePodSandbox', 'IdRequest', 'Empty', { pod_sandbox_id: id });
      live.delete(id);
    };
    scope.defer(async () => {
      for (const id of live) await removeSandbox(id);
    });
    await until('containerd to accept the CNI configuration', () => networkReady(call), 10_000, 100);
    return {
      runSandbox: async (name, namespace = 'default') => {
        const uid = randomUUID();
        const sandboxConfig = {
          metadata: { name, uid, namespace, attempt: 0 },
          linux: { security_context: {} },
        };
        const { pod_sandbox_id: id } = await call('RunPodSandbox', 'RunRequest', 'IdResponse', {
          config: sandboxConfig,
        });
        live.add(String(id));
        const answer = await call('PodSandboxStatus', 'IdRequest', 'StatusResponse', {
          pod_sandbox_id: id,
          verbose: true,
        });
        const { status, info } = answer as unknown as SandboxState;
        const { pid } = JSON.parse(info.info) as { pid: number };
        const ips = [status.network?.ip ?? '', ...(status.network?.additional_ips ?? []).map(({ ip }) => ip)];
        const enter = [`--net=/proc/${pid}/ns/net`];
        const exec = (command: string, ...args: string[]): Promise<RunResult> =>
          run('nsenter', [...enter, command, ...args]);
        return { id: String(id), uid, pid, ips: ips.filter((ip) => ip !== ''), exec };
      },
      removeSandbox,
      stop: () => scope.close(),
    };
  } catch (error) {
    await scope.close();
    throw error;
  }
};

const networkReady = async (call: Call): Promise<boolean> => {
  const { status } = await call('Status', 'Empty', 'RuntimeStatusResponse', {});
  const { conditions } = status as { conditions: { type: string; status: boolean }[] };
  return conditions.some((condition) => condition.type === 'NetworkReady' && condition.status);
};
