import { join } from 'node:path';
import { after, before, type TestContext } from 'node:test';
import type { KubeApi } from '../../../cni/kube/api.ts';
import { connectKube } from '../../../cni/kube/connect.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { writeCluster } from '../../../ipam/audit/cluster.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import { usedSlots } from '../../../ipam/model/block.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { listBlocks } from '../../../ipam/query/views.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { CliWorld, type Ran } from '../../golden/world.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { HookedStore } from '../../support/hooked-store.ts';
import { node, startKubeApi, type KubeApiServer } from '../../support/kube-api.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { owner, range } from '../../unit/ipam/world.ts';

export const uid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** A cluster for one test, with its own etcd prefix and its own API server. */
export class Race {
  readonly api: KubeApiServer;
  readonly store: HookedStore;
  readonly ipam: Ipam;
  readonly world: CliWorld;
  readonly #kube: KubeApi;

  constructor(api: KubeApiServer, kube: KubeApi, store: HookedStore, world: CliWorld) {
    this.api = api;
    this.#kube = kube;
    this.store = store;
    this.world = world;
    this.ipam = directIpam(store, world.ipam.effects);
  }

  /** Replaces those methods of the Kubernetes client that `change` returns. */
  onKube(change: (kube: KubeApi) => Partial<KubeApi>): void {
    this.world.kube = { ...this.#kube, ...change(this.#kube) };
  }

  async give(onNode: string, name: string, n: number | string, containerId = `c-${name}`): Promise<string> {
    const podUid = typeof n === 'number' ? uid(n) : n;
    const given = await allocate(this.ipam, {
      node: onNode,
      owner: owner(containerId, { podNamespace: 'shop', podName: name, podUid }),
      families: [4],
    });
    return given.map(({ address }) => formatAddress(address)).join();
  }

  live(name: string, n: number, onNode = 'node-1', ip?: string): void {
    this.api.putPod({ namespace: 'shop', name, uid: uid(n), node: onNode, ...(ip && { ip }) });
  }

  check(more = '--release --yes'): Promise<Ran> {
    return this.world.run(`check --grace 0 ${more}`);
  }

  /** Returns the container ID of each used address in etcd. */
  async given(): Promise<Record<string, string>> {
    const { blocks: views } = await listBlocks(this.ipam);
    return Object.fromEntries(
      views.flatMap(({ block }) =>
        usedSlots(block).map(({ address, slot }) => [formatAddress(address), slot.owner.containerId]),
      ),
    );
  }

  podRequests(): number {
    return this.api.requests.filter(({ path }) => path === '/api/v1/pods').length;
  }
}

/** The races of one suite: they share an etcd. */
class Races {
  readonly #etcd: Etcd;
  readonly #dir: string;
  #prefixes = 0;
  #files = 0;

  constructor(etcd: Etcd, dir: string) {
    this.#etcd = etcd;
    this.#dir = dir;
  }

  /** Starts a cluster for the test. */
  async start(t: TestContext, blockSize = 16): Promise<Race> {
    const api = await startKubeApi();
    t.after(() => api.close());
    const store = new HookedStore(
      openEtcdStore({ endpoints: this.#etcd.endpoints, prefix: `/race-${++this.#prefixes}` }),
    );
    t.after(() => store.close());
    const race = new Race(api, this.connect(t, api), store, new CliWorld());
    race.world.store = store;
    race.onKube(() => ({}));
    await addRange(race.ipam, range('10.20.0.0/22', { name: 'blue', cooldownMs: 0, blockSize }));
    for (const name of ['node-1', 'node-2']) api.putNode(node({ name, ready: false }));
    // An earlier check wrote down the cluster.
    await writeCluster(race.ipam, undefined, api.namespaces.get('/kube-system')?.metadata.uid ?? '');
    // One pod lives, so that the check believes the API server.
    await race.give('node-1', 'web-0', 100);
    race.live('web-0', 100);
    return race;
  }

  /** Connects with short pauses and deadlines. Only the end of the test closes the connection. */
  connect(t: TestContext, api: KubeApiServer): KubeApi {
    const kubeconfig = join(this.#dir, `kubeconfig-${++this.#files}`);
    api.writeKubeconfig(kubeconfig);
    const kube = connectKube({ kubeconfig, env: {}, deadlineMs: 20_000, retryPauseMs: 5, idleMs: 2_000 });
    t.after(() => kube.close());
    return { ...kube, close: () => undefined };
  }
}

/** Gives the calling suite its races, from its `before` to its `after`. */
export const useRaces = (): Pick<Races, 'start' | 'connect'> => {
  let scope: Scope;
  let races: Races;
  before(async () => {
    scope = newScope();
    races = new Races(scope.use(await startEtcd()), await scope.tempDir());
  });
  after(() => scope.close());
  return {
    start: (t, blockSize) => races.start(t, blockSize),
    connect: (t, api) => races.connect(t, api),
  };
};
