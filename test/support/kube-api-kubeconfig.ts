import { stringify } from 'yaml';
import type { Certificates } from './kube-api-tls.ts';

export type UserEntry = Readonly<Record<string, unknown>>;

/** Returns the first token, else the client certificate, else an empty user entry. */
export function defaultUser(tls: Certificates | undefined, tokens: ReadonlyMap<string, string>): UserEntry {
  const [token] = tokens.keys();
  if (token !== undefined) return { token };
  return tls === undefined
    ? {}
    : { 'client-certificate': tls.clientCertFile, 'client-key': tls.clientKeyFile };
}

/** Returns the text of a kubeconfig with one cluster, one user and one context. */
export function kubeconfig(url: string, tls: Certificates | undefined, user: UserEntry): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'test',
        cluster: { server: url, ...(tls === undefined ? {} : { 'certificate-authority': tls.caFile }) },
      },
    ],
    users: [{ name: 'tester', user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'tester' } }],
    'current-context': 'test',
  });
}
