import type { KubeApi, Moment } from '../../cni/kube/api.ts';
import { KubeError } from '../../cni/kube/errors.ts';
import {
  canonicalPod,
  indexPods,
  podNameOf,
  type AuditedPod,
  type PodIndex,
} from '../../ipam/audit/judge.ts';
import { CommandError } from '../context/errors.ts';
import { plural } from '../render/plural.ts';
import type { Looking } from './progress.ts';
import { sideBySide } from './side-by-side.ts';

/** Identifies the pods to look up. */
export interface WantedPods {
  /** `namespace/name`. */
  readonly names: ReadonlySet<string>;
  /** UIDs of the pods whose names are not known. */
  readonly uids: ReadonlySet<string>;
}

/** Above this many pods, one list of all pods replaces the single requests. */
const MOST_ONE_BY_ONE = 1_000;
const REQUESTS_AT_ONCE = 8;
/**
 * Names that a request may carry (RFC 1123). For any other name, only a list proves that the pod is
 * absent.
 */
const ASKABLE = /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?\/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/;

/**
 * Returns the current pods of these names and UIDs, without those that do not exist.
 * @throws KubeError
 */
export async function lookUpPods(
  kube: KubeApi,
  wanted: WantedPods,
  { signal, progress }: Pick<Looking, 'signal' | 'progress'>,
): Promise<PodIndex> {
  const { names, uids } = wanted;
  if (uids.size === 0 && names.size <= MOST_ONE_BY_ONE && [...names].every((name) => ASKABLE.test(name)))
    return indexPods(await oneByOne(kube, [...names]));
  let found: AuditedPod[] = [];
  await kube.walkPods(
    {
      restart: () => (found = []),
      add: (pods) => {
        for (const pod of pods)
          if (names.has(podNameOf(pod)) || uids.has(pod.uid) || uids.has(pod.configHash ?? ''))
            found.push(canonicalPod(pod));
      },
    },
    { ...(signal && { signal }), onProgress: (done, total) => progress('pods again', done, total) },
  );
  return indexPods(found);
}

async function oneByOne(kube: KubeApi, names: readonly string[]): Promise<AuditedPod[]> {
  const pods = await sideBySide(names, REQUESTS_AT_ONCE, (text) => {
    const [namespace = '', name = ''] = text.split('/');
    return kube.getPod(namespace, name);
  });
  return pods.flatMap((pod) => (pod ? [canonicalPod(pod)] : []));
}

/**
 * Checks that the API server has pods at all and is not older than its earlier answer. Otherwise
 * data is missing, which proves nothing (rule 6).
 * @param before the earlier answer; the present one must not be older
 * @throws KubeError `malformed` when the API server went back in time
 */
export async function stillHasPods(kube: KubeApi, before: Moment | undefined): Promise<boolean> {
  const { any, resourceVersion } = await kube.anyPod();
  if (before && isOlder(resourceVersion, before.resourceVersion)) {
    throw new KubeError(
      'malformed',
      `${kube.server} went back in time: it answered list pods at resourceVersion ${before.resourceVersion}, and now at ${resourceVersion}`,
      { remedy: 'Nothing was concluded. Was its etcd restored, or does a stale server answer in between?' },
    );
  }
  return any;
}

/**
 * Resource versions are numbers of one sequence (KEP-5504). Versions that are not numbers are not
 * compared.
 */
function isOlder(version: string, than: string): boolean {
  const isNumber = (text: string): boolean => /^\d{1,30}$/.test(text);
  return isNumber(version) && isNumber(than) && BigInt(version) < BigInt(than);
}

/** Decides whether allocations that name pods may be released because the API server has no pod. */
export interface Doubt {
  readonly allocated: number;
  readonly evenIfNoPods: boolean | undefined;
}

/** @throws CommandError when the API server has no pod at all, unless `evenIfNoPods` is set */
export function refuseWithoutPods(kube: KubeApi, { allocated, evenIfNoPods }: Doubt): void {
  if (evenIfNoPods) return;
  throw new CommandError(
    `${noPodsText(kube, allocated)} Nothing was released`,
    'Check --kubeconfig and --etcd-prefix; where the cluster really has no pod, add --even-if-no-pods.',
  );
}

export const noPodsText = (kube: KubeApi, allocated: number): string =>
  `${kube.server} has no pod at all, while etcd has ${plural(allocated, 'allocation')}: is it the right cluster?`;
