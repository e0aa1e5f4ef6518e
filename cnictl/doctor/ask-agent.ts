import { accessSync, constants } from 'node:fs';
import http from 'node:http';
import { defaultMetricsAddress } from '../../cni/agent/metrics-address.ts';
import { answers } from '../../cni/agent/probe.ts';
import { hasCode } from '../../ipam/model/errors.ts';
import type { AgentAnswer, AgentReply } from '../context/world.ts';

/** Longest wait for each of the two answers, in milliseconds. */
const DEADLINE_MS = 3_000;
/** Longest answer, in characters. */
const LONGEST_ANSWER = 10_000_000;

/**
 * Asks the agent at the socket for its CNI versions, which needs no other service, and then for its
 * health.
 * @throws CniError 11 when the agent hangs
 */
export async function probeAgent(socket: string): Promise<AgentAnswer> {
  refuseUnlessAllowed(socket);
  if (!(await answers(socket, DEADLINE_MS))) return { answers: false, health: undefined };
  const address = defaultMetricsAddress(socket);
  return { answers: true, health: address.kind === 'unix' ? await askHealth(address.path) : undefined };
}

/** An agent behind a socket that this user may not use is not one that does not answer. */
function refuseUnlessAllowed(socket: string): void {
  try {
    accessSync(socket, constants.R_OK | constants.W_OK);
  } catch (error) {
    if (hasCode(error, 'EACCES')) throw error;
  }
}

/** Returns the newest lines of the agent's log; undefined when they cannot be had from it. */
export async function askAgentLog(socket: string): Promise<string | undefined> {
  const answer = await askAgent(socket, '/log');
  return answer?.status === 200 ? answer.body : undefined;
}

/**
 * Asks the agent for a path of the socket where it serves metrics by default, beside its own.
 * @returns undefined when no agent answers there
 */
export async function askAgent(socket: string, path: string): Promise<AgentReply | undefined> {
  refuseUnlessAllowed(socket);
  const address = defaultMetricsAddress(socket);
  return address.kind === 'unix' ? await ask(address.path, path) : undefined;
}

async function askHealth(socketPath: string): Promise<AgentAnswer['health']> {
  return parseHealth((await ask(socketPath, '/healthz'))?.body ?? '');
}

/**
 * Returns undefined when no agent answers there. The metrics may be served elsewhere, or not at
 * all.
 */
function ask(socketPath: string, path: string): Promise<AgentReply | undefined> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const req = http.get({ socketPath, path, signal }, (res) => {
      let body = '';
      res.setEncoding('utf8');
      res.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > LONGEST_ANSWER) req.destroy();
      });
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body }));
      res.on('close', () => resolve(undefined));
    });
    req.on('error', () => resolve(undefined));
  });
}

export function parseHealth(body: string): AgentAnswer['health'] {
  try {
    const health = JSON.parse(body) as Partial<NonNullable<AgentAnswer['health']>>;
    const { ok, version, reasons = [], callsPastAgent, metricsPort, masquerade } = health;
    if (typeof ok !== 'boolean' || typeof version !== 'string') return undefined;
    return {
      ok,
      version,
      reasons,
      ...(callsPastAgent && { callsPastAgent }),
      ...(metricsPort && { metricsPort }),
      ...(masquerade && { masquerade }),
    };
  } catch {
    return undefined;
  }
}
