import type { KubeApi } from '../../cni/kube/api.ts';
import type { Identity } from '../../ipam/audit/cluster.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { refuseCluster } from '../context/cluster.ts';
import type { FirstLook } from './first-look.ts';
import { identifyTrusting, remember } from './identity.ts';
import { prove, type Proof } from './proof.ts';

export interface GuardOptions {
  /** Whether leaks are to be released. */
  readonly release: boolean;
  /** Fails at another cluster's API server also where nothing is to be released. */
  readonly refuseOther: boolean;
  /** UID of the cluster that replaces the one in etcd. */
  readonly trustCluster: string | undefined;
}

/** Ends a round against another cluster's API server, or says that its findings mean nothing. */
export class ClusterGuard {
  readonly identity: Identity;
  readonly #ipam: Ipam;
  readonly #kube: KubeApi;
  readonly #options: GuardOptions;
  readonly #warn: (text: string) => void;

  private constructor(
    ipam: Ipam,
    kube: KubeApi,
    options: GuardOptions,
    warn: (text: string) => void,
    identity: Identity,
  ) {
    this.#ipam = ipam;
    this.#kube = kube;
    this.#options = options;
    this.#warn = warn;
    this.identity = identity;
  }

  /**
   * Compares the UIDs, before anything large is read.
   * @throws ClusterError when the round must not go on; IpamError `store-…`, KubeError
   */
  static async open(
    ipam: Ipam,
    kube: KubeApi,
    options: GuardOptions,
    warn: (text: string) => void,
  ): Promise<ClusterGuard> {
    const { trustCluster: trusted, release, refuseOther } = options;
    const identity = await identifyTrusting(ipam, kube, { trusted, warn });
    const other = refuseCluster(identity, kube);
    if (other && (release || refuseOther)) throw other;
    return new ClusterGuard(ipam, kube, options, warn, identity);
  }

  /**
   * Judges by what both sides hold, and writes down the cluster of the first check that is
   * proven to be ours.
   * @throws ClusterError when nothing may be released, and something was to be; IpamError `store-…`
   */
  async prove({ podAudit, nodes }: FirstLook): Promise<Proof> {
    const { named, pods, knowsPods } = podAudit;
    const evidence = { standing: nodes.standing, named, pods, knowsPods };
    const first = prove({ identity: this.identity, ...evidence }, this.#kube);
    const proof =
      first.remember === undefined
        ? first
        : prove({ identity: await remember(this.#ipam, first.remember), ...evidence }, this.#kube);
    const { doubt, isMeaningless } = proof;
    const { release, refuseOther } = this.#options;
    if (doubt && (release || (refuseOther && isMeaningless))) throw doubt;
    if (doubt && isMeaningless) this.#warn(`${doubt.message}; what follows means nothing`);
    // The first look told already that it knows none of the nodes.
    else if (doubt && nodes.standing !== 'none-known') this.#warn(doubt.message);
    return proof;
  }
}
