import { isToken, type MetricsAccess } from '../../cni/agent/metrics-access.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { Attempts } from './attempts.ts';
import { refuse, refuseForNow, type Route } from './router.ts';
import { isOwnPage, type Sessions } from './session.ts';

const MOST_BYTES = 4_096;

/**
 * `/api/sign-in` takes the token from the page, once, and sets the cookie; `/api/sign-out` takes
 * the cookie away. Only the page itself may call them.
 */
export function signInRoutes(access: () => MetricsAccess, sessions: Sessions, attempts: Attempts): Route[] {
  return [
    {
      path: '/api/sign-in',
      method: 'POST',
      isOpen: true,
      answer: async ({ headers, from, body }, response) => {
        if (!isOwnPage(headers)) {
          refuse(response, 403, 'expected a request of the page itself');
          return;
        }
        let token: string;
        try {
          token = (await body(MOST_BYTES)).trim();
        } catch (error) {
          refuse(response, 413, messageOf(error), { connection: 'close' });
          return;
        }
        // After the body: many requests at once must not all be let through.
        const seconds = attempts.waitSeconds(from);
        if (seconds > 0) {
          refuseForNow(response, seconds);
          return;
        }
        if (!/^\S+$/.test(token) || !isToken(access(), token)) {
          attempts.add(from, token);
          refuse(response, 403, 'this is not the token of --token-file');
          return;
        }
        response.writeHead(204, { 'set-cookie': sessions.begin(access()), 'cache-control': 'no-store' });
        response.end();
      },
    },
    {
      path: '/api/sign-out',
      method: 'POST',
      isOpen: true,
      answer: ({ headers }, response) => {
        if (!isOwnPage(headers)) {
          refuse(response, 403, 'expected a request of the page itself');
          return;
        }
        response.writeHead(204, { 'set-cookie': sessions.end(), 'cache-control': 'no-store' });
        response.end();
      },
    },
  ];
}
