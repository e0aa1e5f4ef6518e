/** Whether this host reaches etcd and the API server. */
import { KubeError, type KubeErrorCode } from '../../cni/kube/errors.ts';
import { parseAddress, sameAddress } from '../../ipam/model/address.ts';
import { IpamError, messageOf } from '../../ipam/model/errors.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Context } from '../context/context.ts';

/** A server that the host needs. */
export interface Server {
  /** For messages, for example `etcd http://10.0.0.1:2379`. */
  readonly name: string;
  /** Resolves to the server's URL when it answers, whatever the answer. */
  readonly ask: () => Promise<string>;
}

export interface Answer {
  readonly server: Server;
  readonly url?: string;
  /** Why the server was not reached. */
  readonly failure?: string;
}

/** Failures that do not tell whether a server is there. With any other it has answered. */
const NO_ANSWER: readonly KubeErrorCode[] = ['config', 'credentials', 'unreachable', 'timeout', 'cancelled'];

/** Returns each configured endpoint of etcd, and the API server if one is configured. */
export function serversOf(context: Context): Server[] {
  const settings = etcdSettings(context.settings.etcd);
  const endpoints = settings.endpoints.map((endpoint): Server => ({
    name: `etcd ${endpoint}`,
    ask: async () => {
      const etcd = await context.world.openEtcd({ ...settings, endpoints: [endpoint] });
      try {
        await etcd.status();
      } catch (error) {
        if (!(error instanceof IpamError && error.code === 'store-denied')) throw error;
      } finally {
        etcd.close();
      }
      return endpoint;
    },
  }));
  const api: Server = {
    name: 'the API server',
    ask: () =>
      context.withKube(async (kube) => {
        try {
          await kube.probe('nodes');
        } catch (error) {
          if (!(error instanceof KubeError) || NO_ANSWER.includes(error.code)) throw error;
        }
        return kube.server;
      }),
  };
  return context.knowsKube ? [...endpoints, api] : endpoints;
}

/** Asks all of them side by side. */
export const askAll = (servers: readonly Server[]): Promise<Answer[]> =>
  Promise.all(
    servers.map((server) =>
      server.ask().then(
        (url) => ({ server, url }),
        (error: unknown) => ({ server, failure: messageOf(error) }),
      ),
    ),
  );

/**
 * Whether the server is on this host, so that its answer says nothing about the network.
 * @param own the host's addresses
 */
export function isOnHost(url: string, own: readonly string[]): boolean {
  const name = new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
  if (name === 'localhost' || name === '::1' || /^127\./.test(name)) return true;
  try {
    const address = parseAddress(name);
    return own.some((each) => sameAddress(parseAddress(each), address));
  } catch {
    return false; // A name: nearly always another host's.
  }
}
