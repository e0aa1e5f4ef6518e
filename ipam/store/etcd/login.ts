import { castGrpcError, type Etcd3 } from 'etcd3';

/** gRPC's settings for every connection to etcd. */
export const CHANNEL_OPTIONS = {
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

/** The parts of etcd3's connection pool that this file uses. etcd3's types hide them. */
interface Pool {
  readonly hosts: readonly { getServiceClient(name: 'Auth'): AuthService }[];
  readonly authenticator: {
    getCredentialsFromHost: (
      address: string,
      name: string,
      password: string,
      callOptions: unknown,
      credentials: unknown,
    ) => Promise<string>;
  };
}

/**
 * Makes the client log in with {@link CHANNEL_OPTIONS} too. etcd3 logs in over a connection of its
 * own, without the options of the client, and leaves it open.
 */
export function logInDirectly(client: Etcd3): void {
  const { hosts, authenticator } = Reflect.get(client, 'pool') as Pool;
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
