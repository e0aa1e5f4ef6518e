import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { STORE_CASES } from '../../support/store-cases.ts';

suite('the cases of the simulated etcd hold on a real one', () => {
  let scope: Scope;
  let etcd: Etcd;
  before(async () => {
    scope = newScope();
    etcd = scope.use(await startEtcd());
  });
  after(() => scope.close());

  for (const [i, { name, run }] of STORE_CASES.entries())
    test(name, async () => {
      const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: `/case-${i}` });
      try {
        const compact = async (): Promise<void> => {
          await etcd.ctl('compact', String(await etcd.revision()));
        };
        await run({ store, compact, pause: sleep });
      } finally {
        store.close();
      }
    });
});
