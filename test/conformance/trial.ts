/** One call after another of the plugin under test, in pods of its own: what a case of the conformance suite works with. */
import assert from 'node:assert/strict';
import { cni, podArgs, type CniCall, type CniOutcome, type CniReply, type Verb } from '../support/cni.ts';
import { newContainerId } from '../support/node.ts';
import { newScope, scopedNamespace, uniqueName, type Namespace, type Scope } from '../support/netns.ts';

/** A `main` plugin makes an interface, an `ipam` plugin only gives addresses, a `chained` one changes what is there. */
export type PluginKind = 'main' | 'ipam' | 'chained';

/** What is tested: any plugin binary with a configuration of its own. */
export interface Subject {
  /** For people. */
  readonly name: string;
  readonly binary: string;
  readonly kind: PluginKind;
  readonly config: Readonly<Record<string, unknown>>;
  /** CNI_PATH. */
  readonly path: string;
  /** Network namespace that stands for the host, by name. */
  readonly host: string;
  readonly env: Readonly<Record<string, string>>;
}

/** As in the versions' order. */
export const VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type Version = (typeof VERSIONS)[number];

export const isAtLeast = (version: Version, other: Version): boolean =>
  VERSIONS.indexOf(version) >= VERSIONS.indexOf(other);

export interface TrialPod {
  readonly ns: Namespace;
  readonly containerId: string;
}

export type Config = Readonly<Record<string, unknown>>;

export class Trial {
  readonly subject: Subject;
  readonly version: Version;
  /** A network of its own: trials side by side do not meet in GC. */
  readonly #network: string;
  readonly #scope: Scope = newScope();

  constructor(subject: Subject, version: Version) {
    this.subject = subject;
    this.version = version;
    this.#network = uniqueName('network');
  }

  /** The configuration in the trial's version, with changes; `undefined` takes a key out. */
  config(changes: Config = {}): Config {
    return { ...this.subject.config, name: this.#network, cniVersion: this.version, ...changes };
  }

  /** A pod without interface. At the end of the trial it gets a DEL, whatever became of it. */
  async pod(): Promise<TrialPod> {
    const ns = await scopedNamespace(this.#scope, 'pod');
    const pod = { ns, containerId: newContainerId() };
    this.#scope.defer(async () => {
      for (const ifname of ['eth0', 'net1']) await this.call('DEL', pod, { ifname });
    });
    return pod;
  }

  /** Any call; the trial's configuration unless it brings one. */
  call(verb: Verb, pod: TrialPod | undefined, call: CniCall = {}): Promise<CniOutcome> {
    const { binary, path, host, env } = this.subject;
    return cni(binary, verb, {
      ...(pod && {
        containerId: pod.containerId,
        netns: pod.ns.path,
        args: podArgs('conformance', 'pod', pod.containerId.slice(0, 36), pod.containerId),
      }),
      path,
      runIn: host,
      config: this.config(),
      ...call,
      env: { ...env, ...call.env },
    });
  }

  /** A pod with its attachment. A chained plugin gets the result of a plugin before it. */
  async added(call: CniCall = {}): Promise<{ pod: TrialPod; result: CniReply }> {
    const pod = await this.pod();
    if (this.subject.kind === 'chained') await makeInterface(pod.ns, 'eth0');
    const outcome = await this.call('ADD', pod, { config: this.config(this.chain(pod)), ...call });
    return { pod, result: succeeded(outcome) };
  }

  /** What a chained plugin needs for an ADD. */
  chain(pod: TrialPod): Config {
    if (this.subject.kind !== 'chained') return {};
    return {
      prevResult: {
        cniVersion: this.version,
        interfaces: [{ name: 'eth0', mac: '02:00:00:00:00:01', sandbox: pod.ns.path }],
        ips: [
          {
            address: '10.1.2.3/24',
            interface: 0,
            ...(!isAtLeast(this.version, '1.0.0') && { version: '4' }),
          },
        ],
      },
    };
  }

  close(): Promise<void> {
    return this.#scope.close();
  }
}

/** An interface that is not the plugin's. */
export const makeInterface = async (ns: Namespace, name: string): Promise<void> => {
  await ns.exec('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'foreign0');
  await ns.exec('ip', 'link', 'set', name, 'address', '02:00:00:00:00:01');
};

/** The result of a call that must have succeeded. */
export const succeeded = (outcome: CniOutcome): CniReply => {
  assert.equal(outcome.code, 0, `it failed: ${outcome.stdout}${outcome.stderr}`);
  return outcome.result ?? {};
};

/** The error of a call that must have failed, in the form of section 5 "Error". */
export const refused = (outcome: CniOutcome, code?: number, ...named: string[]): CniReply => {
  assert.notEqual(outcome.code, 0, `it succeeded: ${outcome.stdout}`);
  assert.ok(outcome.result, `no JSON on stdout; stderr: ${outcome.stderr}`);
  assert.equal(typeof outcome.result.code, 'number', `no code in ${outcome.stdout}`);
  assert.equal(typeof outcome.result.msg, 'string', `no msg in ${outcome.stdout}`);
  if (code !== undefined) assert.equal(outcome.result.code, code, outcome.stdout);
  const text = `${outcome.result.msg ?? ''} ${outcome.result.details ?? ''}`;
  for (const name of named) assert.ok(text.includes(name), `'${name}' is not named in: ${text}`);
  return outcome.result;
};

/** The link as the kernel has it; undefined when there is none. */
export const linkIn = async (
  ns: Namespace,
  name: string,
): Promise<{ mac: string; addresses: string[] } | undefined> => {
  const { code, stdout } = await ns.run('ip', ['-j', 'address', 'show', 'dev', name]);
  if (code !== 0) return undefined;
  const [link] = JSON.parse(stdout) as {
    address: string;
    addr_info: { local: string; prefixlen: number; scope: string }[];
  }[];
  return (
    link && {
      mac: link.address,
      addresses: link.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    }
  );
};
