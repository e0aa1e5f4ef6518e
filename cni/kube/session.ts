import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { User } from '@kubernetes/client-node/dist/config_types.js';
import { KubeError, reasonOf } from './errors.ts';
import { runCredentialPlugin } from './exec.ts';
import type { Target } from './kubeconfig.ts';

/** The connection options and credentials for requests to the server, valid for a limited time. */
export interface Session {
  /** Holds this client's credentials, and one agent, so that a list's pages share a connection. */
  readonly options: Omit<https.RequestOptions, 'headers'> & {
    readonly agent: http.Agent;
    readonly headers: http.OutgoingHttpHeaders;
  };
  /** Whether the agent leads through a proxy. */
  readonly isProxied: boolean;
  readonly life: Life;
}

/** How long credentials are used. */
interface Life {
  /** When they expire by themselves, in milliseconds since 1970; Infinity: never. */
  readonly expiresAt: number;
  /** When their file is read again, in milliseconds of the monotonic clock; Infinity: never. */
  readonly readAgainAt: number;
}

/** The kubelet replaces token files at runtime. client-go rereads them at the same interval. */
const TOKEN_FILE_LIFE_MS = 60_000;
const EXPIRY_MARGIN_MS = 10_000;
const FOR_EVER: Life = { expiresAt: Infinity, readAgainAt: Infinity };

export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly now: () => number;
  readonly monotonic: () => number;
}

/** Keeps the current session. Opens a new one when it expires or after `drop`. */
export class Sessions {
  readonly #target: Target;
  readonly #around: Surroundings;
  #session: Session | undefined;

  constructor(target: Target, around: Surroundings) {
    this.#target = target;
    this.#around = around;
  }

  /** @throws KubeError `config`, `credentials` */
  async current(signal: AbortSignal): Promise<Session> {
    if (this.#session !== undefined && this.#isAlive(this.#session.life)) return this.#session;
    this.drop();
    const opened = await openSession(this.#target, this.#around, signal);
    // Another request may have opened one concurrently. One agent then serves both.
    return (this.#session ??= opened);
  }

  /** Returns how long the credentials are still valid, in milliseconds; Infinity: for ever. */
  remainingMs({ life }: Session): number {
    return life.expiresAt - this.#around.now();
  }

  #isAlive({ expiresAt, readAgainAt }: Life): boolean {
    return expiresAt > this.#around.now() && readAgainAt > this.#around.monotonic();
  }

  /** Whether new credentials may differ from those that the server refused. */
  get renewable(): boolean {
    const { user, tokenFile } = this.#target;
    return (
      tokenFile !== undefined || [user.exec, user.authProvider, user.certFile].some((way) => Boolean(way))
    );
  }

  /**
   * Makes the next request open a new session. Closes idle connections; requests in progress keep
   * theirs until they end.
   */
  drop(): void {
    const agent = this.#session?.options.agent;
    this.#session = undefined;
    if (agent === undefined) return;
    agent.maxFreeSockets = 0;
    const idle = Object.values(agent.freeSockets);
    for (const socket of idle.flatMap((sockets) => sockets ?? [])) socket.destroy();
  }
}

async function openSession(target: Target, around: Surroundings, signal: AbortSignal): Promise<Session> {
  const { cluster } = target;
  const secure = cluster.server.startsWith('https:');
  // Like kubectl, sends no credentials over a connection without TLS.
  const { user, life } = secure
    ? await resolveUser(target, around, signal)
    : { user: { name: 'anonymous' }, life: FOR_EVER };
  const config = new KubeConfig();
  // KubeConfig refuses http:// servers unless skipTLSVerify is set; plain HTTP has no certificate.
  config.loadFromClusterAndUser(secure ? cluster : { ...cluster, skipTLSVerify: true }, user);
  // An explicit rejectUnauthorized overrides NODE_TLS_REJECT_UNAUTHORIZED from the environment.
  const headers: http.OutgoingHttpHeaders = {};
  const options: https.RequestOptions = { rejectUnauthorized: true, headers };
  try {
    await orAborted(config.applyToHTTPSOptions(options), signal);
  } catch (error) {
    if (signal.aborted) throw error;
    throw new KubeError(
      'credentials',
      `the credentials for ${cluster.server} from ${target.source}: ${reasonOf(error)}`,
      { cause: error },
    );
  }
  // KubeConfig's own agent closes its connection after every request: one TLS handshake a page.
  const keepAlive = { keepAlive: true, maxSockets: 4 };
  const own = secure ? new https.Agent(keepAlive) : new http.Agent(keepAlive);
  const agent = cluster.proxyUrl === undefined ? own : (options.agent as http.Agent);
  return { options: { ...options, agent, headers }, isProxied: cluster.proxyUrl !== undefined, life };
}

interface Resolved {
  readonly user: User;
  readonly life: Life;
}

async function resolveUser(target: Target, around: Surroundings, signal: AbortSignal): Promise<Resolved> {
  const { user, tokenFile, cluster } = target;
  if (tokenFile !== undefined) {
    return { user: { ...user, token: readToken(tokenFile) }, life: fileLife(around) };
  }
  if (!user.exec) return { user, life: user.authProvider ? fileLife(around) : FOR_EVER };
  const clusterInfo = {
    server: cluster.server,
    'insecure-skip-tls-verify': cluster.skipTLSVerify,
    'certificate-authority-data': cluster.caFile
      ? readCredential(cluster.caFile).toString('base64')
      : cluster.caData,
    'tls-server-name': cluster.tlsServerName,
  };
  const credential = await runCredentialPlugin({
    exec: user.exec,
    cluster: clusterInfo,
    env: around.env,
    signal,
  });
  const base64 = (pem: string): string => Buffer.from(pem).toString('base64');
  return {
    user: {
      ...user,
      exec: undefined,
      ...(credential.token === undefined ? {} : { token: credential.token }),
      ...(credential.certificate === undefined ? {} : { certData: base64(credential.certificate) }),
      ...(credential.key === undefined ? {} : { keyData: base64(credential.key) }),
    },
    life: { ...FOR_EVER, expiresAt: credential.expiresAt - EXPIRY_MARGIN_MS },
  };
}

const fileLife = ({ monotonic }: Surroundings): Life => ({
  ...FOR_EVER,
  readAgainAt: monotonic() + TOKEN_FILE_LIFE_MS,
});

function readToken(file: string): string {
  const token = readCredential(file).toString('utf8').trim();
  if (token === '') throw new KubeError('credentials', `the token file ${file} is empty`);
  return token;
}

function readCredential(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new KubeError('credentials', `${file} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

/** KubeConfig's providers (oidc) accept no signal, so an abort only stops the wait for them. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (stop !== undefined) signal.removeEventListener('abort', stop);
  }
}
