import { castGrpcError, EtcdLeaseInvalidError, type Etcd3 } from 'etcd3';
import type { Leases } from '../leases.ts';

type Call = <T>(kind: 'read' | 'write', request: (client: Etcd3) => Promise<T>) => Promise<T>;

/**
 * The leases of an etcd client. It does not use the client's own `Lease`, which has timers of its
 * own.
 * @param call runs a request with the client, and translates its errors
 */
export function leasesOn(call: Call): Leases {
  return {
    grant: async (ttlMs) => {
      const { ID } = await call('write', ({ leaseClient }) =>
        leaseClient.leaseGrant({ TTL: Math.ceil(ttlMs / 1000) }),
      );
      return ID;
    },
    keepAlive: async (lease) =>
      (await call('read', ({ leaseClient }) => keepAliveOnce(leaseClient, lease))) > 0,
    revoke: (lease) =>
      call('write', async ({ leaseClient }) => {
        try {
          await leaseClient.leaseRevoke({ ID: lease });
        } catch (error) {
          if (!(error instanceof EtcdLeaseInvalidError)) throw error;
        }
      }),
  };
}

/**
 * Sends one request on a stream of its own: etcd has no other form of it. The client's deadline
 * holds for the stream.
 * @returns the seconds that the lease has now; 0 or less if etcd does not have it
 */
async function keepAliveOnce(leaseClient: Etcd3['leaseClient'], lease: string): Promise<number> {
  const stream = await leaseClient.leaseKeepAlive();
  try {
    return await new Promise((resolve, reject) => {
      stream.on('data', ({ TTL }) => resolve(Number(TTL)));
      stream.on('error', (error) => reject(castGrpcError(error)));
      stream.on('end', () => reject(new Error('etcd ended the stream without an answer')));
      stream.write({ ID: lease });
    });
  } finally {
    stream.end();
  }
}
