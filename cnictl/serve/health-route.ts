import type { Route } from './router.ts';
import { answerJson } from './router.ts';

export interface Health {
  /** Whether etcd is being followed. */
  readonly ok: boolean;
  /** Why not. */
  readonly reason?: string;
  /** Up to which revision everything has been told. */
  readonly revision: number | null;
  readonly listeners: number;
}

/** `/healthz`: more than `ok` is for those who may read events. */
export const healthRoute = (health: () => Health): Route => ({
  path: '/healthz',
  isOpen: true,
  answer: ({ isAuthorized }, response) => {
    const told = health();
    answerJson(response, told.ok ? 200 : 503, isAuthorized ? told : { ok: told.ok });
  },
});
