import { isoTime } from '../../ipam/records/codec.ts';
import { answerJson, type Route } from './router.ts';

export interface Status {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Of which revision of etcd the map is; null: etcd has not been read yet. */
  readonly revision: number | null;
  /** Why etcd cannot be followed now, and for how long that has been so. */
  readonly trouble: { readonly reason: string; readonly forMs: number } | undefined;
  /** The configured prefix: it tells one cluster's map from another's. */
  readonly prefix: string | null;
}

/** `/api/status`: the page asks it often, and says when the map does not follow etcd. */
export const statusRoute = (status: () => Status): Route => ({
  path: '/api/status',
  answer: (_, response) => {
    const { now, trouble, ...about } = status();
    answerJson(response, 200, { ...about, now: isoTime(now), trouble: trouble ?? null });
  },
});
