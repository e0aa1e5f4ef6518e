import { castGrpcError, type Etcd3, type IWatchRequest, type IWatchResponse } from 'etcd3';

type Reply = (error: Error | null, reply?: unknown) => void;

/** gRPC's `Metadata`. */
interface Metadata {
  clone(): Metadata;
  set(key: string, value: string): void;
}

/** gRPC's stream of a watch: `ClientDuplexStream`. */
export interface Duplex {
  write(request: IWatchRequest): void;
  cancel(): void;
  destroy(error?: Error): void;
  on(event: 'error', listener: (error: Error) => void): void;
  [Symbol.asyncIterator](): AsyncIterator<IWatchResponse>;
}

interface Host {
  getServiceClient(name: 'Auth'): object;
  getServiceClient(name: 'KV'): {
    range(request: object, metadata: Metadata, callOptions: object, done: Reply): unknown;
  };
  getServiceClient(name: 'Watch'): { watch(metadata: Metadata, callOptions: object): Duplex };
  /** Closes the connections. The next request opens its own. */
  resetAllServices(): void;
}

/** The parts of etcd3's connection pool that cellnet uses. etcd3's types hide them. */
export interface Pool {
  /** In the order of the endpoints. */
  readonly hosts: readonly Host[];
  readonly authenticator: {
    /** The login that requests use, or wait for; null before the first. */
    readonly awaitingMetadata: unknown;
    getMetadata(): Promise<Metadata>;
    /** Makes the next request log in. */
    invalidateMetadata(): void;
    getCredentialsFromHost: (
      address: string,
      name: string,
      password: string,
      callOptions: unknown,
      credentials: unknown,
    ) => Promise<string>;
  };
}

export const poolOf = (client: Etcd3): Pool => Reflect.get(client, 'pool') as Pool;

/**
 * Asks one endpoint for a count that a majority of the members must confirm: a member that is cut
 * off from the others does not answer it either.
 * @param deadline as gRPC takes it, in milliseconds since 1970
 * @throws the error of etcd3, also where etcd answers with an error
 */
export async function askEndpoint(
  client: Etcd3,
  index: number,
  key: Buffer,
  deadline: number,
): Promise<void> {
  const { hosts, authenticator } = poolOf(client);
  const host = hosts[index];
  if (!host) throw new Error(`the client of etcd has no endpoint ${index}`);
  const metadata = await authenticator.getMetadata();
  const request = { key, count_only: true };
  try {
    await new Promise<void>((resolve, reject) => {
      host.getServiceClient('KV').range(request, metadata, { deadline }, (error) => {
        if (error) reject(castGrpcError(error));
        else resolve();
      });
    });
  } catch (error) {
    host.resetAllServices();
    throw error;
  }
}
