/** Calls the plugin under test, each case in pods and a network of its own. */
import assert from 'node:assert/strict';
import { cni, podArgs, type CniCall, type CniOutcome, type CniReply, type Verb } from '../support/cni.ts';
import { newScope, scopedNamespace, uniqueName, type Namespace, type Scope } from '../support/netns.ts';
import { newContainerId } from '../support/node.ts';

/**
 * A `main` plugin makes an interface, an `ipam` plugin only assigns addresses, and a `chained`
 * plugin changes an existing interface.
 */
export type PluginKind = 'main' | 'ipam' | 'chained';

/** The plugin under test: any binary with its configuration. */
export interface Subject {
  /** Shown in the output. */
  readonly name: string;
  readonly binary: string;
  readonly kind: PluginKind;
  readonly config: Readonly<Record<string, unknown>>;
  /** CNI_PATH. */
  readonly path: string;
  /** Name of the network namespace that plays the host. */
  readonly host: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Ordered from oldest to newest. */
export const VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type Version = (typeof VERSIONS)[number];

export const isAtLeast = (version: Version, other: Version): boolean =>
  VERSIONS.indexOf(version) >= VERSIONS.indexOf(other);

/** Error codes that a plugin returns before it changes anything (CNI SPEC, section 5 "Error"). */
const REFUSALS = [1, 2, 3, 4, 6, 7, 8];

export interface TrialPod {
  readonly ns: Namespace;
  readonly containerId: string;
}

export type Config = Readonly<Record<string, unknown>>;

export class Trial {
  readonly subject: Subject;
  readonly version: Version;
  /** The trial's own network name, so that GC of one trial does not affect concurrent ones. */
  readonly #network: string;
  readonly #scope: Scope = newScope();
  /**
   * Attachments that an ADD may have made and no plain DEL has removed, by container ID and
   * interface.
   */
  readonly #attached = new Map<string, { readonly pod: TrialPod; readonly ifname: string }>();

  constructor(subject: Subject, version: Version) {
    this.subject = subject;
    this.version = version;
    this.#network = uniqueName('network');
  }

  /**
   * Returns the configuration in the trial's version with changes. An undefined value removes a
   * key.
   */
  config(changes: Config = {}): Config {
    return { ...this.subject.config, name: this.#network, cniVersion: this.version, ...changes };
  }

  /** Makes a pod without an interface. `close` calls DEL for each attachment that remains. */
  async pod(): Promise<TrialPod> {
    return { ns: await scopedNamespace(this.#scope, 'pod'), containerId: newContainerId() };
  }

  /** Makes any call, with the trial's configuration unless `call` has one. */
  async call(verb: Verb, pod: TrialPod | undefined, call: CniCall = {}): Promise<CniOutcome> {
    const { binary, path, host, env } = this.subject;
    const ifname = call.ifname ?? 'eth0';
    const attachment = `${pod?.containerId ?? ''} ${ifname}`;
    const outcome = await cni(binary, verb, {
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
    // A failed ADD may leave resources too, unless the plugin refused the call before any change.
    const refused = REFUSALS.includes(outcome.result?.code ?? 0);
    if (pod && verb === 'ADD' && !refused) this.#attached.set(attachment, { pod, ifname });
    if (verb === 'DEL' && call.config === undefined && outcome.code === 0) this.#attached.delete(attachment);
    return outcome;
  }

  /** Makes a pod and attaches it. A chained plugin gets the result of a previous plugin. */
  async added(call: CniCall = {}): Promise<{ pod: TrialPod; result: CniReply }> {
    const pod = await this.pod();
    if (this.subject.kind === 'chained') await makeInterface(pod.ns, 'eth0');
    const outcome = await this.call('ADD', pod, { config: this.config(this.chain(pod)), ...call });
    return { pod, result: succeeded(outcome) };
  }

  /** Returns the prevResult that a chained plugin needs for an ADD. */
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

  async close(): Promise<void> {
    for (const { pod, ifname } of this.#attached.values()) await this.call('DEL', pod, { ifname });
    await this.#scope.close();
  }
}

/** Makes an interface that does not belong to the plugin. */
export const makeInterface = async (ns: Namespace, name: string): Promise<void> => {
  await ns.exec('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'foreign0');
  await ns.exec('ip', 'link', 'set', name, 'address', '02:00:00:00:00:01');
};

/** Returns the result of a call. Throws an AssertionError when the call failed. */
export const succeeded = (outcome: CniOutcome): CniReply => {
  assert.equal(outcome.code, 0, `it failed: ${outcome.stdout}${outcome.stderr}`);
  return outcome.result ?? {};
};

/**
 * Returns the error of a call, in the form of CNI SPEC, section 5 "Error". Throws an AssertionError
 * when the call succeeded, the form is wrong, the code is not `code`, or the text lacks a name of
 * `named`.
 */
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

/** Returns the link as the kernel has it, or undefined when there is none. */
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
