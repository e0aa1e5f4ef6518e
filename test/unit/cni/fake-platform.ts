import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach } from 'node:test';
import { NodeState } from '../../../cni/host/node-state.ts';
import { OvsdbError } from '../../../cni/ovsdb/errors.ts';
import { Deadlines } from '../../../cni/platform/deadlines.ts';
import type { HostLink, Kernel, Namespace, Platform, PodInterface } from '../../../cni/platform/platform.ts';
import type { Output, Plugin } from '../../../cni/protocol/invocation.ts';
import { dispatch } from '../../../cni/verbs/dispatch.ts';
import type { Facts } from '../../../ipam/model/rule.ts';
import type { Ipam } from '../../../ipam/node/ipam.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { range, World } from '../ipam/world.ts';
import type { PortSpec, Switch } from '../../../cni/platform/switch.ts';

/** Records the calls that it receives. Its IPAM is the real one, on a store in memory. */
export class FakePlatform {
  readonly calls: string[] = [];
  readonly world = new World();
  /** The IPAM of the process that serves the calls. */
  ipam: Ipam = this.world.ipam;
  /** Errors by the name of the call that fails with them. */
  readonly failures = new Map<string, Error>();
  /** Open vSwitch remotes that do not answer. */
  readonly unreachable = new Set<string>();
  readonly #dir: string;
  pod: PodInterface | undefined;
  crowded = false;
  uplinkMtu = 9000;
  /**
   * The host's end that the kernel reports. findPorts reports the last added port only while it is
   * set.
   */
  link: HostLink | undefined;
  port: PortSpec | undefined;
  /** Whether vswitchd takes the reported host's end when it gets a port again. */
  takesAgain = true;
  /**
   * Whether vswitchd has taken each created link, in order. vswitchd has taken all further links.
   */
  readonly taken: boolean[] = [];
  /** What another IPAM plugin prints. */
  /** What Kubernetes tells of each pod. */
  facts: Facts = {};
  delegateReply = '{"ips":[{"address":"10.1.0.5/24","gateway":"10.1.0.1"}]}';
  /** The conflict that a probe reports. */
  conflict: { address: string; mac: string } | undefined;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async withRange(): Promise<this> {
    await addRange(this.world.ipam, range('10.20.0.0/22', { name: 'blue', gateway: '10.20.0.1', vlan: 120 }));
    return this;
  }

  #call<T>(name: string, result: T): Promise<T> {
    this.calls.push(name);
    const failure = this.failures.get(name);
    return failure ? Promise.reject(failure) : Promise.resolve(result);
  }

  platform(): Platform {
    const { world } = this;
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    return {
      yieldTurn: () => Promise.resolve(),
      now: () => world.now,
      monotonic: () => world.now,
      deadlines: new Deadlines(() => world.now),
      hostname: 'node-1',
      bootId: 'boot-1',
      bootedAt: () => 0,
      machine: () => undefined,
      namespaces: { identify: (path) => `id of ${path}`, stateOf: () => 'lives' },
      openIpam: () => this.#call('ipam', { ...this.ipam, close: () => undefined }),
      openSwitch: ({ ovsdb }) =>
        this.unreachable.has(ovsdb)
          ? Promise.reject(new OvsdbError('unreachable', `${ovsdb} is away`))
          : this.#call('switch', this.#switch()),
      openKernel: () => Promise.resolve(this.#kernel()),
      openState: () => new NodeState(this.#dir, (what) => void this.calls.push(`complaint ${what}`)),
      lock: () => Promise.resolve(() => undefined),
      tryLock: () => () => undefined,
      runDelegate: ({ type, verb }) => this.#call(`delegate ${type} ${verb}`, this.delegateReply),
      podFacts: () => this.#call('ask', this.facts),
      inBurst: () => this.crowded,
      announceLater: ({ count }) => void this.calls.push(`announce ${count}`),
      log,
      onStep: () => undefined,
    };
  }

  #kernel(): Kernel {
    const namespace = (path: string): Namespace => ({ path, close: () => undefined });
    return {
      openNamespace: namespace,
      newNamespace: () => namespace('/new'),
      isHostNamespace: ({ path }) => path === '/host',
      hostLink: () => this.#call('host-link', this.link),
      hostLinks: () => this.#call('host-links', this.link ? [this.link] : []),
      createVeth: ({ hostName, alias, mtu }) => {
        const mac = '02:00:00:00:00:01';
        const taken = this.taken.shift() ?? true;
        const link = { name: hostName, alias, mac, mtu, up: true, taken, carrier: false };
        return this.#call('create-veth', { mark: () => this.#call('mark', link) });
      },
      deleteLink: () => this.#call('delete-link', 'deleted' as const),
      clearAddresses: () => this.#call('clear-addresses', undefined),
      probe: () => this.#call('probe', this.conflict),
      prepare: (_, { routes }) => {
        this.calls.push('prepare');
        const failure = this.failures.get('prepare');
        if (failure) throw failure;
        return {
          bringUp: () => this.#call('configure', routes),
          announce: () => this.#call('announce', undefined),
        };
      },
      inspect: () => this.#call('inspect', this.pod),
    };
  }

  #switch(): Switch {
    return {
      inspectBridge: () => this.#call('inspect-bridge', { userspace: false, uplinkMtu: this.uplinkMtu }),
      isServed: () => this.#call('is-served', true),
      createBridge: () => this.#call('create-bridge', undefined),
      addPort: (port) => {
        this.port = port;
        if (this.link) this.link = { ...this.link, taken: this.takesAgain };
        return this.#call('add-port', undefined);
      },
      markPort: (port) => {
        this.port = port;
        return this.#call('mark-port', undefined);
      },
      removePort: () => this.#call('remove-port', 'removed' as const),
      findPorts: () =>
        this.#call(
          'find-ports',
          this.link && this.port ? [{ ...this.port, ofport: 1, error: undefined }] : [],
        ),
      close: () => undefined,
    };
  }
}

export const ENV = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/pod',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/plugins',
  CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_UID=u-1',
};
export const CONFIG = { cniVersion: '1.1.0', name: 'cell', type: 'cellnet', ipam: { type: 'cellnet-ipam' } };

/**
 * Runs one call of a plugin on the fake platform.
 * @param more further keys of the configuration, or all of stdin
 */
export function callWith(
  fake: FakePlatform,
  changes: Record<string, string | undefined> = {},
  more: object | string = {},
  plugin: Plugin = 'cellnet',
): Promise<Output> {
  const stdin = typeof more === 'string' ? more : JSON.stringify({ ...CONFIG, ...more });
  return dispatch(plugin, { env: { ...ENV, ...changes }, stdin, sharedConfig: undefined }, () =>
    Promise.resolve(fake.platform()),
  );
}

export interface Reply {
  cniVersion: string;
  code?: number;
  msg?: string;
  details?: string;
  supportedVersions?: string[];
  interfaces?: { name: string; mtu?: number; mac?: string }[];
  ips?: { address: string; interface?: number }[];
  routes?: { dst: string; gw?: string }[];
  dns?: object;
}

export const reply = (output: Output): Reply => JSON.parse(output.stdout) as Reply;

export interface FakeNode {
  /** The node's state folder. */
  readonly dir: string;
  readonly fake: FakePlatform;
  /** Calls a plugin: see {@link callWith}. */
  readonly call: (
    changes?: Record<string, string | undefined>,
    more?: object | string,
    plugin?: Plugin,
  ) => Promise<Output>;
  /** Lists the node's records. */
  readonly files: () => string[];
  /**
   * Lists the calls to kernel and Open vSwitch, except those that open them or look up the host's
   * end.
   */
  readonly work: () => string[];
}

/** Makes a fake node with a range, again for each test of the calling suite. */
export function useFakeNode(): FakeNode {
  const dir = mkdtempSync(join(tmpdir(), 'cellnet-unit-'));
  let fake = new FakePlatform(dir);
  beforeEach(async () => {
    rmSync(dir, { recursive: true, force: true });
    fake = await new FakePlatform(dir).withRange();
  });
  after(() => rmSync(dir, { recursive: true, force: true }));
  return {
    dir,
    get fake() {
      return fake;
    },
    call: (changes, more, plugin) => callWith(fake, changes, more, plugin),
    files: () =>
      readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.json')),
    work: () => fake.calls.filter((name) => !['ipam', 'switch', 'host-link'].includes(name)),
  };
}
