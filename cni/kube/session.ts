import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { User } from '@kubernetes/client-node/dist/config_types.js';
import { KubeError, reasonOf } from './errors.ts';
import { runCredentialPlugin } from './exec.ts';
import type { Target } from './kubeconfig.ts';

/** How to speak to the server for a while. */
export interface Session {
  /** One agent, so that pages share a connection, and our credentials. */
  readonly options: Omit<https.RequestOptions, 'headers'> & {
    readonly agent: http.Agent;
    readonly headers: http.OutgoingHttpHeaders;
  };
  /** Milliseconds since 1970. */
  readonly validUntil: number;
}

/** Token files are replaced under us; client-go rereads them as often. */
const TOKEN_FILE_LIFE_MS = 60_000;
const EXPIRY_MARGIN_MS = 10_000;

export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly now: () => number;
}

/** Keeps the present session and makes a new one when it ends, or when the server refused it. */
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
    if (this.#session !== undefined && this.#session.validUntil > this.#around.now()) return this.#session;
    this.drop();
    this.#session = await openSession(this.#target, this.#around, signal);
    return this.#session;
  }

  /** Whether new credentials may differ from those that were refused. */
  get renewable(): boolean {
    const { user, tokenFile } = this.#target;
    return (
      tokenFile !== undefined || [user.exec, user.authProvider, user.certFile].some((way) => Boolean(way))
    );
  }

  /** The next request makes a new one. Requests under way keep their connections; idle ones are closed. */
  drop(): void {
    const idle = Object.values(this.#session?.options.agent.freeSockets ?? {});
    for (const socket of idle.flatMap((sockets) => sockets ?? [])) socket.destroy();
    this.#session = undefined;
  }
}

async function openSession(target: Target, around: Surroundings, signal: AbortSignal): Promise<Session> {
  const { cluster } = target;
  const secure = cluster.server.startsWith('https:');
  // As kubectl: who we are is not told over a connection that anyone can read.
  const { user, validUntil } = secure
    ? await resolveUser(target, around, signal)
    : { user: { name: 'anonymous' }, validUntil: Infinity };
  const config = new KubeConfig();
  // KubeConfig refuses http:// servers unless this is set; without TLS there is nothing to verify.
  config.loadFromClusterAndUser(secure ? cluster : { ...cluster, skipTLSVerify: true }, user);
  // Set here, so that NODE_TLS_REJECT_UNAUTHORIZED in the environment does not decide it.
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
  // KubeConfig's own agent closes its connection after every request, which for a thousand pages is as many handshakes.
  const keepAlive = { keepAlive: true, maxSockets: 4 };
  const own = secure ? new https.Agent(keepAlive) : new http.Agent(keepAlive);
  const agent = cluster.proxyUrl === undefined ? own : (options.agent as http.Agent);
  return { options: { ...options, agent, headers }, validUntil };
}

interface Resolved {
  readonly user: User;
  readonly validUntil: number;
}

async function resolveUser(target: Target, around: Surroundings, signal: AbortSignal): Promise<Resolved> {
  const { user, tokenFile, cluster } = target;
  if (tokenFile !== undefined) {
    return { user: { ...user, token: readToken(tokenFile) }, validUntil: around.now() + TOKEN_FILE_LIFE_MS };
  }
  if (!user.exec)
    return { user, validUntil: user.authProvider ? around.now() + TOKEN_FILE_LIFE_MS : Infinity };
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
    validUntil: credential.expiresAt - EXPIRY_MARGIN_MS,
  };
}

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

/** KubeConfig's providers (oidc) take no signal: stop waiting for them, at least. */
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
