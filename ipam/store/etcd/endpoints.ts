import { BrokenCircuitError, noop, type IPolicy } from 'cockatiel';
import { isWorthAnotherEndpoint } from './errors.ts';

/** How long an endpoint that did not answer is left alone until asked again, in milliseconds. */
const LEFT_ALONE_MS = 5_000;

export interface Endpoints {
  /** The monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** Asks the endpoint at this place of the list whether it serves. Ends within a few seconds. */
  readonly ask: (index: number) => Promise<void>;
}

interface Endpoint {
  isOut: boolean;
  askAgainAt: number;
}

/**
 * Returns etcd3's policy for each endpoint of one client. Without it a member that hangs costs
 * every third request its share of the deadline. An endpoint that did not answer is left out until
 * it answers a question that no request waits for. It is left out only while another is not: when
 * none answered, all are asked, so that the first request after etcd is back succeeds.
 */
export function leaveOutSilent({ now, ask }: Endpoints): () => IPolicy {
  const endpoints: Endpoint[] = [];

  const askAside = (own: Endpoint, index: number): void => {
    if (now() < own.askAgainAt) return;
    own.askAgainAt = Infinity;
    const back = (): void => void (own.isOut = false);
    const silent = (error: unknown): void => {
      if (!isWorthAnotherEndpoint(error)) back();
      own.askAgainAt = now() + LEFT_ALONE_MS;
    };
    ask(index).then(back, silent);
  };

  return () => {
    const own: Endpoint = { isOut: false, askAgainAt: 0 };
    const index = endpoints.push(own) - 1;
    const execute: IPolicy['execute'] = async (work, signal) => {
      if (own.isOut && !endpoints.every(({ isOut }) => isOut)) {
        askAside(own, index);
        // etcd3 takes the next endpoint upon this error.
        throw new BrokenCircuitError();
      }
      try {
        const result = await noop.execute(work, signal);
        own.isOut = false;
        return result;
      } catch (error) {
        own.isOut = isWorthAnotherEndpoint(error);
        own.askAgainAt = now() + LEFT_ALONE_MS;
        throw error;
      }
    };
    return Object.assign(Object.create(noop) as IPolicy, { execute });
  };
}
