import http from 'node:http';
import https from 'node:https';
import { EtcdPermissionDeniedError, type Etcd3 } from 'etcd3';
import { IpamError, messageOf } from '../../model/errors.ts';
import { openClient } from './client.ts';
import { NONE_KNOWN_SILENT } from './endpoints.ts';
import { translateError } from './errors.ts';
import { checkEtcdSettings, readEtcdCredentials, type EtcdSettings } from './settings.ts';

/** Longest wait for one answer, in milliseconds. */
const DEADLINE_MS = 4_000;
const LOOKS = 5;

export interface MemberStatus {
  readonly version: string;
  /** Size of the database file, in bytes. */
  readonly dbBytes: number;
  readonly hasLeader: boolean;
}

export interface ServerClock {
  /** The Date header in milliseconds since 1970 (whole seconds); undefined without one. */
  readonly serverTime: number | undefined;
  readonly asked: number;
  readonly answered: number;
}

/** Newer etcds tell their own state to root only. cellnet does its work without that right. */
export type ForRoot<T> = T | 'denied';

/** Read-only queries about one etcd or one member. Each rejects with IpamError `store-…`. */
export interface EtcdInspector {
  /**
   * How long a linearizable read without a result takes, in milliseconds: the shortest of a few,
   * because this process is busy too.
   */
  latency(): Promise<number>;
  status(): Promise<ForRoot<MemberStatus>>;
  /** `NOSPACE`, `CORRUPT`, each with its member. */
  alarms(): Promise<ForRoot<readonly string[]>>;
  members(): Promise<ForRoot<number>>;
  /**
   * Returns whether the etcd user may read and write a key below the group. It sends a transaction
   * whose comparison never holds: etcd never applies it, but checks the permissions of all
   * its operations (server/etcdserver/apply_auth.go, checkTxnAuth).
   * @param name the rest of the key; default: one that no program writes
   */
  mayWrite(group: string, name?: string): Promise<boolean>;
  /** Asks by HTTP, because only those answers carry the time. */
  clock(): Promise<ServerClock>;
  close(): void;
}

/** @throws IpamError `invalid` where the settings or their files are not usable */
export function openEtcdInspector(settings: EtcdSettings): EtcdInspector {
  checkEtcdSettings(settings);
  const client = openClient(settings, () => DEADLINE_MS, NONE_KNOWN_SILENT);
  const endpoints = settings.endpoints.join(',');
  const ask = async <T>(question: (client: Etcd3) => Promise<T>): Promise<T> => {
    try {
      return await question(client);
    } catch (error) {
      throw translateError(error, endpoints, false);
    }
  };
  const askRoot = async <T>(question: (client: Etcd3) => Promise<T>): Promise<ForRoot<T>> => {
    try {
      return await ask(question);
    } catch (error) {
      if (error instanceof IpamError && error.cause instanceof EtcdPermissionDeniedError) return 'denied';
      throw error;
    }
  };
  const countOne = { key: Buffer.from(`${settings.prefix}/v1/ranges/`), count_only: true };
  return {
    latency: async () => {
      await ask(({ kv }) => kv.range(countOne));
      let best = Infinity;
      for (let i = 0; i < LOOKS; i++) {
        const before = performance.now();
        await ask(({ kv }) => kv.range(countOne));
        best = Math.min(best, performance.now() - before);
      }
      return best;
    },
    status: () =>
      askRoot(async ({ maintenance }) => {
        const { version, dbSize, leader } = await maintenance.status();
        return { version, dbBytes: Number(dbSize), hasLeader: leader !== '0' };
      }),
    alarms: () =>
      askRoot(async ({ maintenance }) =>
        (await maintenance.alarm({})).alarms.map(
          ({ alarm, memberID }) => `${alarm.toUpperCase()} of member ${BigInt(memberID).toString(16)}`,
        ),
      ),
    members: () => askRoot(async ({ cluster }) => (await cluster.memberList({})).members.length),
    mayWrite: (group, name = 'doctor') =>
      mayWrite(ask, Buffer.from(`${settings.prefix}/v1/${group}/${name}`)),
    clock: () => askClock(settings),
    close: () => client.close(),
  };
}

async function mayWrite(
  ask: <T>(question: (client: Etcd3) => Promise<T>) => Promise<T>,
  key: Buffer,
): Promise<boolean> {
  try {
    const { succeeded } = await ask(({ kv }) =>
      kv.txn({
        // No key has a create revision below 0, so the comparison never holds.
        compare: [{ target: 'Create', result: 'Less', key, create_revision: 0 }],
        success: [{ request_put: { key, value: Buffer.alloc(0) } }, { request_range: { key } }],
      }),
    );
    if (succeeded) throw new Error('etcd carried out what cannot hold');
    return true;
  } catch (error) {
    if (error instanceof IpamError && error.code === 'store-denied') return false;
    throw error;
  }
}

/** Asks the endpoints in turn until one answers. */
async function askClock(settings: EtcdSettings): Promise<ServerClock> {
  let failure: unknown;
  for (const endpoint of settings.endpoints) {
    try {
      return await askClockAt(endpoint, settings);
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

/** Sends GET /version: it needs no permission and leaves no trace. */
function askClockAt(endpoint: string, settings: EtcdSettings): Promise<ServerClock> {
  const { tls } = readEtcdCredentials(settings);
  const url = new URL('/version', endpoint);
  const { request } = url.protocol === 'https:' ? https : http;
  return new Promise((resolve, reject) => {
    const asked = Date.now();
    const req = request(
      url,
      {
        signal: AbortSignal.timeout(DEADLINE_MS),
        agent: false,
        ...(tls && { ca: tls.rootCertificate, cert: tls.certChain, key: tls.privateKey }),
      },
      (res) => {
        const answered = Date.now();
        // The header is enough, and a body without an end would keep this process.
        res.destroy();
        const serverTime = Date.parse(res.headers.date ?? '');
        resolve({ serverTime: Number.isNaN(serverTime) ? undefined : serverTime, asked, answered });
      },
    );
    req.on('error', (cause) => {
      const why = cause.name === 'AbortError' ? `silent for ${DEADLINE_MS} ms` : messageOf(cause);
      reject(new IpamError('store-unreachable', `${url.href} did not answer: ${why}`, { cause }));
    });
    req.end();
  });
}
