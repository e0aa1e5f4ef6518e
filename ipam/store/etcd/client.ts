import { handleWhen, noop, retry } from 'cockatiel';
import { Etcd3 } from 'etcd3';
import { isWorthAnotherEndpoint } from './errors.ts';
import { readEtcdCredentials, type EtcdSettings } from './settings.ts';

/**
 * A client of etcd, which connects on its first request.
 * @param deadline of the request that is about to be made, in milliseconds since 1970
 * @throws IpamError `invalid` where a file of the settings cannot be read
 */
export function openClient(settings: EtcdSettings, deadline: () => number): Etcd3 {
  const credentials = readEtcdCredentials(settings);
  const callOptions = (): { deadline: number } => ({ deadline: deadline() });
  return new Etcd3({
    hosts: [...settings.endpoints],
    defaultCallOptions: callOptions,
    ...(credentials.tls && { credentials: credentials.tls }),
    ...(credentials.auth && { auth: { ...credentials.auth, callOptions } }),
    grpcOptions: { 'grpc.max_receive_message_length': 64 * 1024 * 1024 },
    // A call tries every endpoint once. Replaying a transaction is safe: its guards fail if it went through.
    faultHandling: {
      host: () => noop,
      global: retry(handleWhen(isWorthAnotherEndpoint), { maxAttempts: settings.endpoints.length - 1 }),
    },
  });
}
