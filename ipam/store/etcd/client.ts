import { handleWhen, retry } from 'cockatiel';
import { Etcd3 } from 'etcd3';
import { leaveOutSilent, type SilentEndpoints } from './endpoints.ts';
import { isWorthAnotherEndpoint } from './errors.ts';
import { omitIpNames } from './ip-names.ts';
import { CHANNEL_OPTIONS, logInDirectly } from './login.ts';
import { askEndpoint } from './pool.ts';
import { readEtcdCredentials, type EtcdSettings } from './settings.ts';

/** Longest wait for an endpoint that no request waits for, in milliseconds. */
const ASIDE_WITHIN_MS = 2_000;

/**
 * Opens an etcd client, which connects on its first request. Endpoints that are known to be silent
 * come last.
 * @param patience returns how long to wait for the next request, in milliseconds
 * @throws IpamError `invalid` if a file of the settings cannot be read
 */
export function openClient(settings: EtcdSettings, patience: () => number, silent: SilentEndpoints): Etcd3 {
  const credentials = readEtcdCredentials(settings);
  const out = new Set(silent.list());
  // A login asks the endpoints in their order.
  const endpoints = [...settings.endpoints].sort((a, b) => Number(out.has(a)) - Number(out.has(b)));
  const at = (index: number): string => endpoints[index] ?? '';
  if (credentials.tls) omitIpNames();
  // gRPC takes a date, and computes a duration from it at once: a later jump of the clock is
  // harmless.
  const callOptions = (): { deadline: number } => ({ deadline: Date.now() + patience() });
  const anyKey = Buffer.from(`${settings.prefix}/v1/`);
  const client: Etcd3 = new Etcd3({
    hosts: endpoints,
    defaultCallOptions: callOptions,
    ...(credentials.tls && { credentials: credentials.tls }),
    ...(credentials.auth && { auth: { ...credentials.auth, callOptions } }),
    grpcOptions: CHANNEL_OPTIONS,
    // A call tries every endpoint once. Repeating a transaction is safe: if it applied, its guards
    // fail.
    faultHandling: {
      host: leaveOutSilent({
        now: () => performance.now(),
        ask: (index) => askEndpoint(client, index, anyKey, Date.now() + ASIDE_WITHIN_MS),
        startsOut: (index) => out.has(at(index)),
        changed: (index, isOut) => silent.note(at(index), isOut),
      }),
      global: retry(handleWhen(isWorthAnotherEndpoint), { maxAttempts: endpoints.length - 1 }),
    },
  });
  logInDirectly(client);
  return client;
}
