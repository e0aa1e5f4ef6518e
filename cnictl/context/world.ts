import type { BridgeConnection } from '../../cni/agent/dataplane/bridge-connection.ts';
import type { MasqueradeReport } from '../../cni/agent/masquerade.ts';
import type { KubeApi } from '../../cni/kube/api.ts';
import type { KubeWriter } from '../../cni/kube/writer.ts';
import type { OvsdbClient } from '../../cni/ovsdb/client.ts';
import type { Log, Platform } from '../../cni/platform/platform.ts';
import type { Machine } from '../../ipam/model/machine.ts';
import type { Effects } from '../../ipam/model/effects.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import type { Environment, OvsdbTls } from '../../ipam/settings/settings.ts';
import type { Watches } from '../../ipam/store/watches.ts';
import type { EtcdInspector } from '../../ipam/store/etcd/inspect.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Files } from './file-access.ts';
import type { Content } from './files.ts';
import type { Terminal, TerminalListener } from './terminal.ts';
import type { UplinkHost } from './uplink-host.ts';

/**
 * Everything outside that a command touches. The caller passes it in, so that the program is a
 * function.
 */
export interface World {
  readonly env: Environment;
  readonly hostname: string;
  /** The requested result: tables, JSON, YAML. */
  readonly stdout: (text: string) => void;
  /** Everything else: errors, warnings, progress. */
  readonly stderr: (text: string) => void;
  /** Resolves when what was written to {@link stdout} has reached its reader, or has failed to. */
  readonly flushed: () => Promise<void>;
  readonly isTerminal: boolean;
  /** Width of the terminal, in characters. */
  readonly columns?: number | undefined;
  /** The name that the operator gave the program, as `kubectl cellnet`; default: `cnictl`. */
  readonly program?: string;
  /** Whether {@link stderr} is a terminal, so that a bar may move on it. */
  readonly showsProgress: boolean;
  /** Takes the terminal over, until it is closed. Only where {@link isTerminal}. */
  readonly openTerminal: (listener: TerminalListener, colours: boolean) => Terminal;
  /** Asks the operator and returns one line. */
  readonly ask: (question: string) => Promise<string>;
  /** Returns milliseconds since 1970 by the wall clock, which may jump. */
  readonly now: () => number;
  /** Returns milliseconds by a clock that never jumps, for durations. */
  readonly monotonic: () => number;
  /** @param signal ends the pause early, without an error */
  readonly pause: (ms: number, signal?: AbortSignal) => Promise<void>;
  /**
   * Calls again and again, until the returned function is called. Absent: no line says that a
   * command waits.
   */
  readonly every?: (ms: number, work: () => void) => () => void;
  /**
   * From this call on, SIGTERM, SIGINT and SIGHUP abort the signal, and do not end the program. The
   * end of the reader of {@link stdout} aborts it, too.
   */
  readonly untilStopped: () => AbortSignal;
  /** Undefined when the file does not exist. */
  readonly readFile: (path: string) => string | undefined;
  /**
   * Checks in advance that {@link writeFile} can write there.
   * @throws CommandError
   */
  readonly checkTarget: (path: string) => void;
  /**
   * Writes the whole file or nothing. An iterable carries content too long for one string.
   * @throws CommandError
   */
  readonly writeFile: (path: string, content: Content) => void;
  /**
   * Appends to a regular file, and creates it with mode 0600 when it is missing.
   * @throws CommandError
   */
  readonly appendFile: (path: string, content: string) => void;
  /** Tells whether this host has a network device of that name. */
  readonly hasDevice: (name: string) => boolean;
  /** File access for an installation. */
  readonly files: Files;
  /** Runs a program of this host until it exits. */
  readonly exec: Exec;
  /** The dist/ that holds this cnictl. */
  readonly dist: string;
  readonly openIpam: (settings: EtcdSettings) => Promise<OpenIpam>;
  readonly openEvents: (settings: EtcdSettings) => Promise<OpenEvents>;
  readonly openKube: (options: KubeOptions) => Promise<KubeApi>;
  /**
   * Opens the API server for a command that makes and deletes objects there.
   * @param grant what the operator does where the user lacks a right
   */
  readonly openKubeWriter: (options: KubeOptions, grant: string) => Promise<KubeWriter>;
  /** Asks a server of `connectivity test` over TCP, from this machine. */
  readonly dial: (address: string, port: number) => Promise<Dialled>;
  /** Opens read access to etcd's own state. */
  readonly openEtcd: (settings: EtcdSettings) => Promise<EtcdInspector>;
  readonly probeAgent: (socket: string) => Promise<AgentAnswer>;
  /** Returns the newest lines of the agent's log; undefined when the agent does not give them. */
  readonly agentLog: (socket: string) => Promise<string | undefined>;
  /**
   * Asks the agent for a path of its own socket for metrics; undefined when none answers there.
   */
  readonly askAgent: (socket: string, path: string) => Promise<AgentReply | undefined>;
  /**
   * Has the ovs-vswitchd of this node carry out a command. Equivalent to: ovs-appctl METHOD PARAMS…
   * @throws OvsdbError
   */
  readonly askVswitchd: (ovsdb: string, method: string, params: readonly string[]) => Promise<string>;
  /** Connects to a bridge of this node by OpenFlow. @throws OpenFlowError */
  readonly openBridge: (ovsdb: string, bridge: string) => Promise<BridgeConnection>;
  readonly openOvsdb: (remote: string, tls: OvsdbTls) => Promise<OvsdbClient>;
  /** Returns this machine, as the plugins know it. @throws CniError for a malformed name of it */
  readonly machine: () => Machine;
  /** Opens this host's own network. */
  readonly uplinkHost: () => Promise<UplinkHost>;
  /** Opens what the plugins use on this node. */
  readonly openPlatform: (log: Log) => Promise<Platform>;
}

/** What a server answered, or the error. */
export interface Dialled {
  readonly name?: string;
  readonly seen?: string;
  readonly error?: string;
  readonly ms?: number;
}

export interface OpenIpam extends Ipam {
  close(): void;
}

/** The changes of etcd, for commands that follow them. */
export interface OpenEvents {
  readonly watches: Watches;
  readonly effects: Effects;
  close(): void;
}

export interface KubeOptions {
  /** `--kubeconfig`. */
  readonly kubeconfig: string | undefined;
  /** `--context`: replaces the current one of the kubeconfig. */
  readonly context: string | undefined;
  /** From the shared configuration file. KUBECONFIG takes precedence. */
  readonly configuredKubeconfig: string | undefined;
  /** Longest time for one operation, and longest silence of a list, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** Longest time for a list with all its pages, in milliseconds. */
  readonly listTimeoutMs: number;
}

/**
 * The exit status and output of a program. The status is null when the program did not start or a
 * signal ended it.
 */
export interface Exit {
  readonly status: number | null;
  readonly output: string;
}

export type Exec = (argv: readonly string[]) => Promise<Exit>;

/** An answer of the agent over HTTP. */
export interface AgentReply {
  readonly status: number;
  readonly body: string;
}

/** The agent's answer to a probe. */
export interface AgentAnswer {
  /** Whether its socket answered a call. */
  readonly answers: boolean;
  /** Undefined when its health is not available. */
  readonly health:
    | {
        readonly ok: boolean;
        readonly version: string;
        readonly reasons: readonly string[];
        /** Calls that plugins served themselves since the agent began, by reason. */
        readonly callsPastAgent?: Readonly<Record<string, number>>;
        /** The port where it serves metrics beyond this node. Absent where none is asked for. */
        readonly metricsPort?: { readonly listen: string; readonly tls: boolean; readonly reason?: string };
        /** What it does for key `masqueradeForwarded`. Absent where that is off. */
        readonly masquerade?: MasqueradeReport;
      }
    | undefined;
}
