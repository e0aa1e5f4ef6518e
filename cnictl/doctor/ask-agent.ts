import http from 'node:http';
import { defaultMetricsAddress } from '../../cni/agent/metrics-address.ts';
import { answers } from '../../cni/agent/probe.ts';
import type { AgentAnswer } from '../context/world.ts';

/** Longest wait for each of the two answers, in milliseconds. */
const DEADLINE_MS = 3_000;
/** Longest answer about its health, in characters. */
const LONGEST_HEALTH = 100_000;

/**
 * Asks the agent at the socket for its CNI versions, which needs no other service, and then for its
 * health.
 * @throws CniError 11 when the agent hangs
 */
export async function probeAgent(socket: string): Promise<AgentAnswer> {
  if (!(await answers(socket, DEADLINE_MS))) return { answers: false, health: undefined };
  const address = defaultMetricsAddress(socket);
  return { answers: true, health: address.kind === 'unix' ? await askHealth(address.path) : undefined };
}

/**
 * Returns undefined when no agent answers there. The metrics may be served elsewhere, or not at
 * all.
 */
function askHealth(socketPath: string): Promise<AgentAnswer['health']> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const req = http.get({ socketPath, path: '/healthz', signal }, (res) => {
      let body = '';
      res.setEncoding('utf8');
      res.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > LONGEST_HEALTH) req.destroy();
      });
      res.on('end', () => resolve(parseHealth(body)));
      res.on('close', () => resolve(undefined));
    });
    req.on('error', () => resolve(undefined));
  });
}

export function parseHealth(body: string): AgentAnswer['health'] {
  try {
    const health = JSON.parse(body) as Partial<NonNullable<AgentAnswer['health']>>;
    const { ok, version, reasons = [], callsPastAgent } = health;
    if (typeof ok !== 'boolean' || typeof version !== 'string') return undefined;
    return { ok, version, reasons, ...(callsPastAgent && { callsPastAgent }) };
  } catch {
    return undefined;
  }
}
