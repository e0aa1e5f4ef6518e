import { BrokenCircuitError, noop, type IPolicy } from 'cockatiel';
import { isWorthAnotherEndpoint } from './errors.ts';

/** How long an endpoint that did not answer is left alone until asked again, in milliseconds. */
const LEFT_ALONE_MS = 5_000;

export interface Endpoints {
  /** The monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** Asks the endpoint at this place of the list whether it serves. Ends within a few seconds. */
  readonly ask: (index: number) => Promise<void>;
  /** Whether the endpoint at this place is left out from the start. */
  readonly startsOut: (index: number) => boolean;
  /** Takes notice that the endpoint at this place no longer answers, or answers again. */
  readonly changed: (index: number, isOut: boolean) => void;
}

/** What this machine's processes tell each other of endpoints that do not answer. Never throws. */
export interface SilentEndpoints {
  /** Returns the endpoints that lately did not answer. */
  list(): readonly string[];
  note(endpoint: string, isSilent: boolean): void;
}

/** Each process learns it itself. */
export const NONE_KNOWN_SILENT: SilentEndpoints = { list: () => [], note: () => undefined };

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
export function leaveOutSilent({ now, ask, startsOut, changed }: Endpoints): () => IPolicy {
  const endpoints: Endpoint[] = [];

  const set = (own: Endpoint, index: number, isOut: boolean): void => {
    if (own.isOut !== isOut) changed(index, isOut);
    own.isOut = isOut;
  };

  const askAside = (own: Endpoint, index: number): void => {
    if (now() < own.askAgainAt) return;
    own.askAgainAt = Infinity;
    const back = (): void => set(own, index, false);
    const silent = (error: unknown): void => {
      if (!isWorthAnotherEndpoint(error)) back();
      own.askAgainAt = now() + LEFT_ALONE_MS;
    };
    ask(index).then(back, silent);
  };

  return () => {
    const index = endpoints.length;
    const own: Endpoint = { isOut: startsOut(index), askAgainAt: now() + LEFT_ALONE_MS };
    endpoints.push(own);
    const execute: IPolicy['execute'] = async (work, signal) => {
      if (own.isOut && !endpoints.every(({ isOut }) => isOut)) {
        askAside(own, index);
        // etcd3 takes the next endpoint upon this error.
        throw new BrokenCircuitError();
      }
      try {
        const result = await noop.execute(work, signal);
        set(own, index, false);
        return result;
      } catch (error) {
        set(own, index, isWorthAnotherEndpoint(error));
        own.askAgainAt = now() + LEFT_ALONE_MS;
        throw error;
      }
    };
    return Object.assign(Object.create(noop) as IPolicy, { execute });
  };
}
