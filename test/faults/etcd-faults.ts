/** Faults of an etcd of three members. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Etcd, EtcdMember } from '../support/etcd.ts';
import { sleep } from '../support/proc.ts';
import type { FaultCluster } from './cluster.ts';
import type { Fault } from './fault.ts';

const MEMBER_DOWN = /^doctor: fail etcd …/;
const ETCD_FAILS = /^doctor: fail etcd latency/;
const BRING_BACK = 'Bring the member back. Nothing else.';
const BRING_BACK_MAJORITY = 'Bring a majority back. Pods that wait start by themselves.';

/** Keys of the run that are not cellnet's. */
const FILLER = '/filler/';
/** A small quota, so that filling it takes a second. etcd's default is 2 GB. */
const QUOTA_BYTES = 4 * 1024 ** 2;
const FILLER_BYTES = 100 * 1024;
/** Between two compactions, in milliseconds. */
const COMPACT_EVERY_MS = 50;

/** Returns the members that do not lead, which are a minority or, with the leader, a majority. */
const followers = async (etcd: Etcd): Promise<EtcdMember[]> => {
  const leading = await etcd.leader();
  return etcd.members.filter((member) => member !== leading);
};

/** A fault of some members, which `choose` picks while all of them are well. */
const membersFault = (
  fault: Pick<Fault, 'name' | 'title' | 'done' | 'todo' | 'sign'>,
  choose: (etcd: Etcd) => Promise<EtcdMember[]>,
  how: 'hung' | 'killed',
): Fault => {
  let chosen: readonly EtcdMember[] = [];
  return {
    ...fault,
    group: 'etcd',
    hits: 'cluster',
    prepare: async ({ fabric }) => {
      chosen = await choose(fabric.etcd);
    },
    begin: async () => {
      if (how === 'hung') chosen.forEach((member) => member.pause());
      else await Promise.all(chosen.map((member) => member.kill()));
    },
    heal: async () => {
      if (how === 'hung') chosen.forEach((member) => member.resume());
      else await Promise.all(chosen.map((member) => member.start()));
    },
  };
};

const leader = async (etcd: Etcd): Promise<EtcdMember[]> => [await etcd.leader()];
const minority = async (etcd: Etcd): Promise<EtcdMember[]> => (await followers(etcd)).slice(0, 1);
const majority = async (etcd: Etcd): Promise<EtcdMember[]> => [
  await etcd.leader(),
  ...(await followers(etcd)).slice(0, 1),
];

const fill = async ({ fabric: { etcd } }: FaultCluster): Promise<void> => {
  const value = 'x'.repeat(FILLER_BYTES);
  for (let n = 0; ; n++) {
    const full = await etcd.ctl('put', `${FILLER}${n}`, value).then(
      () => false,
      (error: unknown) => /database space exceeded/.test(String(error)),
    );
    if (full) return;
    assert.ok(n * FILLER_BYTES < 2 * QUOTA_BYTES, 'etcd takes more than its quota');
  }
};

const makeRoom = async ({ fabric: { etcd } }: FaultCluster): Promise<void> => {
  await etcd.ctl('del', '--prefix', FILLER);
  await etcd.ctl('compact', `${await etcd.revision()}`);
  await etcd.ctl('defrag');
  await etcd.ctl('alarm', 'disarm');
};

/** Compacts all but the newest revision again and again, until it is told to stop. */
class Compactor {
  #stopping = false;
  #running: Promise<void> | undefined;

  start({ etcd }: FaultCluster['fabric']): void {
    this.#stopping = false;
    this.#running = (async () => {
      while (!this.#stopping) {
        const revision = await etcd.revision();
        // Where nothing was written since the last time, etcd answers that it is compacted already.
        await etcd.ctl('compact', `${revision}`).catch((error: unknown) => {
          if (!/compacted/.test(String(error))) throw error;
        });
        await sleep(COMPACT_EVERY_MS);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }
}

const compactor = new Compactor();
let snapshot = '';
let backup = '';

export const ETCD_FAULTS: readonly Fault[] = [
  membersFault(
    {
      name: 'etcd-leader-killed',
      title: 'leader killed',
      done: 'The leader of three members was killed and later started again.',
      todo: BRING_BACK,
      sign: MEMBER_DOWN,
    },
    leader,
    'killed',
  ),
  membersFault(
    {
      name: 'etcd-minority-hung',
      title: 'one member hung',
      done: 'A member that does not lead was stopped (SIGSTOP), and later went on.',
      todo: BRING_BACK,
      sign: MEMBER_DOWN,
    },
    minority,
    'hung',
  ),
  membersFault(
    {
      name: 'etcd-minority-killed',
      title: 'one member killed',
      done: 'A member that does not lead was killed and later started again.',
      todo: BRING_BACK,
      sign: MEMBER_DOWN,
    },
    minority,
    'killed',
  ),
  membersFault(
    {
      name: 'etcd-majority-hung',
      title: 'majority hung',
      done: 'Two of three members, the leader among them, were stopped (SIGSTOP), and later went on.',
      todo: BRING_BACK_MAJORITY,
      sign: ETCD_FAILS,
    },
    majority,
    'hung',
  ),
  membersFault(
    {
      name: 'etcd-majority-killed',
      title: 'majority killed',
      done: 'Two of three members, the leader among them, were killed and later started again.',
      todo: BRING_BACK_MAJORITY,
      sign: ETCD_FAILS,
    },
    majority,
    'killed',
  ),
  {
    name: 'etcd-nospace',
    group: 'etcd',
    title: 'quota used up (NOSPACE)',
    done: 'Other keys filled etcd up to its quota (4 MB), so that it refused every write.',
    todo: 'Compact, defragment each member, `etcdctl alarm disarm`; find out what wrote so much.',
    hits: 'cluster',
    needs: { etcdArgs: ['--quota-backend-bytes', `${QUOTA_BYTES}`] },
    sign: /^doctor: fail etcd alarms/,
    begin: fill,
    heal: makeRoom,
  },
  {
    name: 'etcd-compaction',
    group: 'etcd',
    title: 'compaction under claims',
    done: 'The newest revision was compacted again and again, while nodes claimed blocks of four addresses.',
    todo: 'Nothing.',
    hits: 'cluster',
    needs: { blockSize: 4 },
    growing: true,
    begin: ({ fabric }) => compactor.start(fabric),
    heal: () => compactor.stop(),
  },
  {
    name: 'etcd-set-back',
    group: 'etcd',
    title: 'set back to a snapshot',
    done: 'A snapshot was taken, pods came and went, etcd was killed and then restored from it.',
    todo: 'Find out what restored it. The nodes write back what lives on them.',
    hits: 'cluster',
    sign: /^metric: cellnet_etcd_set_backs_total/,
    prepare: async ({ fabric }) => {
      snapshot = await fabric.etcd.snapshot();
    },
    begin: ({ fabric }) => fabric.etcd.kill(),
    heal: ({ fabric }) => fabric.etcd.restore(snapshot),
  },
  {
    name: 'etcd-emptied',
    group: 'etcd',
    title: 'emptied',
    done: 'A backup was taken, pods came and went, and etcd was started again without its data.',
    todo: '`cnictl restore FILE --force` with a backup that has the ranges, however old.',
    hits: 'cluster',
    sign: /^doctor: fail ranges/,
    prepare: async ({ fabric, scope }) => {
      backup = join(await scope.tempDir(), 'backup');
      await succeeds(fabric, 'backup', backup);
    },
    begin: async ({ fabric }) => {
      await fabric.etcd.empty();
    },
    heal: ({ fabric }) => succeeds(fabric, 'restore', backup, '--yes', '--force'),
  },
];

const succeeds = async (fabric: FaultCluster['fabric'], ...args: string[]): Promise<void> => {
  const { code, stdout, stderr } = await fabric.cnictl(...args);
  assert.equal(code, 0, `cnictl ${args.join(' ')}: ${stdout}\n${stderr}`);
};
