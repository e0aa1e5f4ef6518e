import type { Owner } from '../../ipam/model/attachment.ts';
import { printable } from './printable.ts';

type PodNames = Pick<Owner, 'podNamespace' | 'podName' | 'podUid'>;

export function podText(owner: PodNames | undefined): string {
  if (owner?.podName === undefined) return '-';
  return printable(`${owner.podNamespace ?? '?'}/${owner.podName}`);
}

/** Returns null when the runtime named no pod. */
export function podJson(owner: PodNames | undefined): object | null {
  if (owner?.podName === undefined && owner?.podUid === undefined) return null;
  return { namespace: owner.podNamespace ?? null, name: owner.podName ?? null, uid: owner.podUid ?? null };
}
