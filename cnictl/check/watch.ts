import { sampleUsage } from '../../ipam/query/usage-samples.ts';
import type { Context } from '../context/context.ts';
import { parseDuration } from '../context/durations.ts';
import { CommandError, describeError } from '../context/errors.ts';
import type { Findings } from './findings.ts';
import { parseListenAddress, serveMetrics, type ServedMetrics } from './metrics-listen.ts';
import { CheckMetrics } from './metrics.ts';
import { renderFindings, summary } from './render.ts';
import type { RoundOptions } from './round-options.ts';
import { checkRound } from './round.ts';

const DEFAULT_INTERVAL = '5m';
const SHORTEST_INTERVAL_MS = 1_000;
/** Delay after a failed round. It doubles with each further failure, up to the interval. */
const FIRST_RETRY_MS = 5_000;

export interface WatchOptions {
  readonly watch?: boolean | string;
  readonly metricsListen?: string;
}

/**
 * Runs `check --watch`: a round, the interval, and again, until SIGTERM or SIGINT. When a round
 * fails because etcd or the API server is unavailable, this function reports and counts the failure
 * and retries soon. A failed round releases nothing on the basis of data it did not see. Every
 * round opens new connections.
 * @returns 0, because a stop is the normal end
 * @throws CommandError for an invalid option, or when the metrics cannot be served
 */
export async function watch(context: Context, round: RoundOptions, options: WatchOptions): Promise<number> {
  const intervalMs = parseInterval(options.watch);
  const { world } = context;
  const signal = world.untilStopped();
  const metrics = new CheckMetrics();
  const served = await listen(context, options.metricsListen, metrics);
  const told = new Told(context);
  const warned = new Set<string>();
  const warnOnce = (text: string): void => {
    if (!warned.has(text)) context.warn(text);
    warned.add(text);
  };
  let failures = 0;
  try {
    while (!signal.aborted) {
      const startedAt = world.monotonic();
      const error = await oneRound(context, { ...round, signal, warnOnce }, metrics, told);
      if (isStopped(signal)) break;
      if (error !== undefined) {
        failures += 1;
        metrics.failed(error);
        world.stderr(describeError(error));
      } else {
        failures = 0;
        metrics.succeeded(world.now(), world.monotonic() - startedAt);
      }
      const retryMs = FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 16);
      await world.pause(failures > 0 ? Math.min(retryMs, intervalMs) : intervalMs, signal);
    }
    return 0;
  } finally {
    served?.close();
  }
}

/** Reads the signal again: it may have been aborted during the round. */
const isStopped = (signal: AbortSignal): boolean => signal.aborted;

function parseInterval(value: boolean | string | undefined): number {
  const text = typeof value === 'string' ? value : DEFAULT_INTERVAL;
  const intervalMs = parseDuration(text, '--watch');
  if (intervalMs >= SHORTEST_INTERVAL_MS) return intervalMs;
  throw new CommandError(`--watch '${text}': expected at least 1s`);
}

async function listen(
  context: Context,
  text: string | undefined,
  metrics: CheckMetrics,
): Promise<ServedMetrics | undefined> {
  if (text === undefined) return undefined;
  const served = await serveMetrics(parseListenAddress(text), metrics);
  context.warn(`metrics at http://${served.address}/metrics`);
  return served;
}

/** @returns the failure; undefined when the round completed or was stopped */
async function oneRound(
  context: Context,
  options: RoundOptions,
  metrics: CheckMetrics,
  told: Told,
): Promise<unknown> {
  try {
    await checkRound(context, options, {
      found: (found, report) => {
        metrics.found(found);
        told.show(found, report);
      },
      outcome: (outcome, reason) => metrics.outcome(outcome, reason),
      repaired: () => metrics.repaired(),
    });
    await sample(context, metrics);
    return undefined;
  } catch (error) {
    return options.signal?.aborted ? undefined : error;
  }
}

/** Takes the hour's sample of the usage, unless an agent has. That it fails is no failed round. */
async function sample(context: Context, { usage }: CheckMetrics): Promise<void> {
  try {
    usage.told(await context.withIpam(sampleUsage));
  } catch {
    usage.failed();
  }
}

/** Prints each round as one line, and new findings in full. */
class Told {
  readonly #context: Context;
  #last = '';

  constructor(context: Context) {
    this.#context = context;
  }

  show(found: Findings, report: object): void {
    this.#context.world.stdout(this.#context.textOfNext(report, () => this.#text(found)));
  }

  #text(found: Findings): string {
    const { world, paint } = this.#context;
    const now = world.now();
    const identity = renderFindings(found, paint, 0);
    const isNew = identity !== this.#last;
    this.#last = identity;
    const text = isNew ? renderFindings(found, paint, now) : `${summary(found, paint)}\n`;
    const lines = text.trimEnd().split('\n');
    return isNew && lines.length > 1
      ? `${new Date(now).toISOString()}\n${text}`
      : `${new Date(now).toISOString()} ${text}`;
  }
}
