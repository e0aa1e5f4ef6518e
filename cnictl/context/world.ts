import type { KubeApi } from '../../cni/kube/api.ts';
import type { OvsdbClient } from '../../cni/ovsdb/client.ts';
import type { Log, Platform } from '../../cni/platform/platform.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import type { Environment, OvsdbTls } from '../../ipam/settings/settings.ts';
import type { EtcdInspector } from '../../ipam/store/etcd/inspect.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Files } from './file-access.ts';
import type { Content } from './files.ts';

/** Everything outside that a command touches: passed in, so that the program is a function. */
export interface World {
  readonly env: Environment;
  readonly hostname: string;
  /** What was asked for: tables, JSON, YAML. */
  readonly stdout: (text: string) => void;
  /** What is told beside it: errors, warnings, progress. */
  readonly stderr: (text: string) => void;
  readonly isTerminal: boolean;
  /** Whether a person sees {@link stderr} at once, so that a bar may move on it. */
  readonly showsProgress: boolean;
  /** Asks a person, who answers with a line. */
  readonly ask: (question: string) => Promise<string>;
  readonly now: () => number;
  /** @param signal ends it early, without an error */
  readonly pause: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** From now on SIGTERM and SIGINT abort the signal rather than end the program. */
  readonly untilStopped: () => AbortSignal;
  /** Undefined where the file does not exist. */
  readonly readFile: (path: string) => string | undefined;
  /** Whether {@link writeFile} can write there, as far as that can be told before. @throws CommandError */
  readonly checkTarget: (path: string) => void;
  /** Whole or not at all; in parts what is too long for one text. @throws CommandError */
  readonly writeFile: (path: string, content: Content) => void;
  /** Adds to the end of a regular file, and makes it with mode 0600 where it is not there. @throws CommandError */
  readonly appendFile: (path: string, content: string) => void;
  /** Whether this host has a network device of that name. */
  readonly hasDevice: (name: string) => boolean;
  /** For an installation, which touches more than a file or two. */
  readonly files: Files;
  /** Runs a program of this host to its end. */
  readonly exec: Exec;
  /** The dist/ that this cnictl is of. */
  readonly dist: string;
  readonly openIpam: (settings: EtcdSettings) => Promise<OpenIpam>;
  readonly openKube: (options: KubeOptions) => Promise<KubeApi>;
  /** Questions to etcd that change nothing. */
  readonly openEtcd: (settings: EtcdSettings) => Promise<EtcdInspector>;
  readonly probeAgent: (socket: string) => Promise<AgentAnswer>;
  readonly openOvsdb: (remote: string, tls: OvsdbTls) => Promise<OvsdbClient>;
  /** What the plugins work with on this node. */
  readonly openPlatform: (log: Log) => Promise<Platform>;
}

export interface OpenIpam extends Ipam {
  close(): void;
}

export interface KubeOptions {
  /** `--kubeconfig`. */
  readonly kubeconfig: string | undefined;
  /** From the shared configuration file: after KUBECONFIG. */
  readonly configuredKubeconfig: string | undefined;
}

/** What ran: its exit status, null where it could not be started or was ended by a signal, and what it said. */
export interface Exit {
  readonly status: number | null;
  readonly output: string;
}

export type Exec = (argv: readonly string[]) => Promise<Exit>;

/** What the agent says when it is asked. */
export interface AgentAnswer {
  /** Whether its socket answered a call. */
  readonly answers: boolean;
  /** Undefined where its health could not be asked for. */
  readonly health:
    { readonly ok: boolean; readonly version: string; readonly reasons: readonly string[] } | undefined;
}
