import { castGrpcError, type Etcd3 } from 'etcd3';
import { isOutdatedLogin } from './errors.ts';
import { poolOf } from './pool.ts';

/** gRPC's settings for every connection to etcd. */
export const CHANNEL_OPTIONS = {
  // With HTTP/2's window of 64 KB, etcd waits for us a third of the time of a large reading.
  'grpc-node.flow_control_window': 8 * 1024 * 1024,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  // gRPC obeys http_proxy of the environment, which a container runtime has for its images. etcd
  // belongs to the cluster, so that no proxy leads to it.
  'grpc.enable_http_proxy': 0,
};

/** The client of etcd's service Auth. */
interface AuthService {
  authenticate(
    request: { readonly name: string; readonly password: string },
    callOptions: unknown,
    done: (error: Error | null, reply?: { readonly token: string }) => void,
  ): unknown;
  close(): void;
}

type AuthServiceClass = new (address: string, credentials: unknown, options: object) => AuthService;

/**
 * Makes the client log in with {@link CHANNEL_OPTIONS} too. etcd3 logs in over a connection of its
 * own, without the options of the client, and leaves it open.
 */
export function logInDirectly(client: Etcd3): void {
  const { hosts, authenticator } = poolOf(client);
  authenticator.getCredentialsFromHost = async (address, name, password, callOptions, credentials) => {
    const [host] = hosts;
    if (!host) throw new Error('the client of etcd has no endpoint');
    const Service = host.getServiceClient('Auth').constructor as AuthServiceClass;
    const service = new Service(address, credentials, CHANNEL_OPTIONS);
    try {
      return await authenticate(service, { name, password }, callOptions);
    } finally {
      service.close();
    }
  };
}

/**
 * Sends the request, and once again with a new login if etcd refused it for an outdated one. Of
 * many requests that etcd refuses together, one logs in.
 */
export async function withLogin<T>(client: Etcd3, request: () => Promise<T>): Promise<T> {
  const { authenticator } = poolOf(client);
  const login = authenticator.awaitingMetadata;
  try {
    return await request();
  } catch (error) {
    if (!isOutdatedLogin(error)) throw error;
    if (authenticator.awaitingMetadata === login) authenticator.invalidateMetadata();
    return await request();
  }
}

function authenticate(
  service: AuthService,
  request: { readonly name: string; readonly password: string },
  callOptions: unknown,
): Promise<string> {
  return new Promise((resolve, reject) => {
    service.authenticate(request, callOptions, (error, reply) => {
      if (error) reject(castGrpcError(error));
      else resolve(reply?.token ?? '');
    });
  });
}
