import { BrokenCircuitError, noop, type IPolicy } from 'cockatiel';
import { isWorthAnotherEndpoint } from './errors.ts';

/**
 * How long an endpoint that did not answer is left out, in milliseconds. Then one request asks it
 * again, and with it wait all that share its transaction.
 */
const LEFT_OUT_MS = 30_000;

/**
 * Returns etcd3's policy for each endpoint of one client. Without it a member that hangs costs
 * every third request its share of the deadline. An endpoint is left out only while another is not:
 * when none answered, all are asked, so that the first request after etcd is back succeeds.
 * @param now the monotonic clock, in milliseconds
 */
export function leaveOutSilent(now: () => number): () => IPolicy {
  const endpoints: { askAgainAt: number }[] = [];
  return () => {
    const own = { askAgainAt: -Infinity };
    endpoints.push(own);
    const execute: IPolicy['execute'] = async (work, signal) => {
      const isOut = (endpoint: typeof own): boolean => endpoint.askAgainAt > now();
      // etcd3 takes the next endpoint upon this error.
      if (isOut(own) && !endpoints.every(isOut)) throw new BrokenCircuitError();
      if (own.askAgainAt !== -Infinity) own.askAgainAt = now() + LEFT_OUT_MS;
      try {
        const result = await noop.execute(work, signal);
        own.askAgainAt = -Infinity;
        return result;
      } catch (error) {
        own.askAgainAt = isWorthAnotherEndpoint(error) ? now() + LEFT_OUT_MS : -Infinity;
        throw error;
      }
    };
    return Object.assign(Object.create(noop) as IPolicy, { execute });
  };
}
