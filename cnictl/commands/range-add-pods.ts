import { KubeError } from '../../cni/kube/errors.ts';
import { canonicalPod, usesAddresses, type AuditedPod } from '../../ipam/audit/judge.ts';
import {
  cidrContains,
  formatCidr,
  parseAddress,
  spanContains,
  type Address,
} from '../../ipam/model/address.ts';
import { IpamError, messageOf } from '../../ipam/model/errors.ts';
import { reservedSpans, type Range } from '../../ipam/model/range.ts';
import type { Store } from '../../ipam/store/store.ts';
import { identifyOwn } from '../context/cluster.ts';
import type { Context } from '../context/context.ts';
import { plural } from '../render/plural.ts';
import { ProgressLine } from '../render/progress.ts';

/** A running pod with an address that a new range would give out. */
interface LivingPod {
  readonly ip: string;
  readonly pod: string;
}

const PODS_NAMED = 5;

/**
 * Refuses a range that would give out addresses that running pods have: etcd forgot the range, or
 * another network uses the subnet. Without an answer from an API server, this warns.
 * @throws IpamError `in-use` that names some of the pods; ClusterError for another cluster's server
 */
export async function refuseLivingPods(context: Context, store: Store, range: Range): Promise<void> {
  if (!context.knowsKube) return;
  const living = await findLivingPods(context, store, range);
  if (living.length === 0) return;
  const named = living.slice(0, PODS_NAMED).map(({ ip, pod }) => `${ip} (${pod})`);
  const more = living.length > PODS_NAMED ? ` and ${living.length - PODS_NAMED} more` : '';
  const have = living.length === 1 ? 'has' : 'have';
  throw new IpamError(
    'in-use',
    `range ${formatCidr(range.cidr)}: ${plural(living.length, 'running pod')} ${have} addresses of it, which etcd does not hold: ${named.join(', ')}${more}`,
    { remedy: RECOVERY },
  );
}

/** The way back, for a range that etcd forgot. */
const RECOVERY =
  'If etcd forgot the range: cnictl restore FILE, and the nodes write back what lives on them. Without a backup: cnictl range add … --recover. Addresses of another network: exclude them.';

async function findLivingPods(context: Context, store: Store, range: Range): Promise<LivingPod[]> {
  const line = new ProgressLine(context.world, context.paint);
  let living: LivingPod[] = [];
  try {
    await context.withKubeLists(async (kube) => {
      await identifyOwn(store, kube);
      await kube.walkPods(
        {
          restart: () => (living = []),
          add: (pods) => living.push(...pods.filter(usesAddresses).flatMap((pod) => livingIn(range, pod))),
        },
        { onProgress: (done, total) => line.update('pods', done, total) },
      );
    });
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    context.warn(`whether running pods have addresses of the range was not looked at: ${messageOf(error)}`);
    return [];
  } finally {
    line.clear();
  }
  return living;
}

/** Leaves out addresses that the range never gives out, such as excluded ones. */
function livingIn(range: Range, pod: AuditedPod): LivingPod[] {
  const isGivenOut = (address: Address): boolean =>
    cidrContains(range.cidr, address) && !reservedSpans(range).some((span) => spanContains(span, address));
  return canonicalPod(pod)
    .podIPs.filter((ip) => isGivenOut(parseAddress(ip)))
    .map((ip) => ({ ip, pod: `${pod.namespace}/${pod.name}` }));
}
