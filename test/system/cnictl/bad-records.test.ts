import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { parseBackup } from '../../../cnictl/backup/format.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { roomFor } from '../../../ipam/allocate/room.ts';
import { claimAhead } from '../../../ipam/allocate/warm-blocks.ts';
import { cidrContains, formatAddress, parseAddress } from '../../../ipam/model/address.ts';
import { usedSlots } from '../../../ipam/model/block.ts';
import { SET_BACK } from '../../../ipam/records/set-back-record.ts';
import { decodeBlock } from '../../../ipam/records/block-record.ts';
import { cidrOfBlockKey } from '../../../ipam/records/keys.ts';
import { release } from '../../../ipam/release/release.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { container, type Ran } from '../../golden/world.ts';
import { cni, OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { run } from '../../support/proc.ts';
import { FakePlatform } from '../../unit/cni/fake-platform.ts';
import { owner } from '../../unit/ipam/world.ts';
import { badRecords, EtcdWorld, type BadRecord, type Group } from './bad-records-world.ts';

/** A command that works on other records than the bad one. */
interface Row {
  readonly argv: string;
  /** The groups whose records it reads and must tell on stderr. */
  readonly tells: readonly Group[];
  /** Its exit status with a bad record of that group, where it is not that of a sound world. */
  readonly status?: Partial<Readonly<Record<Group, number>>>;
}

/** A command's output and effect in a sound world. */
interface Sound extends Ran {
  readonly content: ReadonlyMap<string, string>;
}

const ALL = ['range', 'block'] as const;
const ROWS: readonly Row[] = [
  { argv: 'range list', tells: ALL },
  { argv: 'range show blue', tells: ['block'] },
  { argv: 'block list', tells: ALL },
  { argv: 'block list --node node-2', tells: ALL },
  { argv: 'block list --range blue', tells: ['block'] },
  { argv: 'ip list', tells: ALL },
  { argv: 'ip show 10.20.3.5', tells: [] },
  { argv: 'ip history 10.20.0.16', tells: ['history'] },
  { argv: 'pod show shop/api-1', tells: ALL },
  { argv: 'node list', tells: ALL },
  { argv: 'node show node-2', tells: [] },
  { argv: 'node reconcile --dry-run --grace 0', tells: [] },
  { argv: 'status', tells: ALL },
  { argv: 'check --grace 0', tells: [] },
  { argv: 'check --grace 0 --release --wait 0 --yes', tells: [] },
  { argv: 'check --grace 0 --repair --yes', tells: [] },
  { argv: 'range add 10.40.0.0/24 --name pink', tells: ['range'], status: { range: 2 } },
  { argv: 'range drain blue', tells: ['block'] },
  { argv: 'range undrain green', tells: [] },
  { argv: 'range remove green --yes', tells: [] },
  { argv: 'block return --all --idle 0s --yes', tells: ALL },
  { argv: 'block return --range green --idle 0s --yes', tells: ALL },
  { argv: 'node drain node-2', tells: [] },
  { argv: 'node undrain node-2', tells: [] },
  { argv: 'node remove node-2 --yes --grace 0 --wait 0', tells: [] },
  { argv: 'release 10.20.0.17 10.20.0.16 --yes --force', tells: [] },
];

/** What differs beside a bad record, and is tested elsewhere: counts, times, what is told of it. */
const APART = new Set(['unreadable', 'records', 'latencyMs', 'free', 'claimed', 'counts']);

const comparable = (stdout: string): unknown =>
  stdout === '' ? '' : JSON.parse(stdout, (key, value: unknown) => (APART.has(key) ? undefined : value));

/** A backup leaves out what tells of an agent's life, and a restore tells a set-back. */
const withoutLife = (content: ReadonlyMap<string, string>): Map<string, string> =>
  new Map([...content].filter(([key]) => !/^(alive|usage)\//.test(key) && key !== SET_BACK));

suite('one bad record', () => {
  let scope: Scope;
  let etcd: Etcd;
  let world: EtcdWorld;
  let kinds: BadRecord[];
  before(async () => {
    scope = newScope();
    etcd = scope.use(await startEtcd());
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => store.close());
    world = await EtcdWorld.make(store);
    const dir = await scope.tempDir();
    world.cli.env['CELLNET_STATE_DIR'] = dir;
    world.cli.platform = () => new FakePlatform(dir).platform();
    kinds = await badRecords();
  });
  after(() => scope.close());

  const cnictl = (argv: string): Promise<Ran> => {
    // A removed node is one that the cluster does not have.
    world.cli.nodes = world.cli.nodes.filter(({ name }) => name !== /node remove (\S+)/.exec(argv)?.[1]);
    return world.cli.run(`${argv} -o json`);
  };
  const reset = async (more: Parameters<EtcdWorld['fill']>[0]): Promise<void> => {
    world.cli.nodes = ['node-1', 'node-2'].map((name) => ({ name, uid: name, ready: true }));
    await world.fill(more);
  };
  const spoil = ({ bad, beside }: BadRecord): Promise<void> => reset([...beside, bad]);
  const othersIn = (
    content: ReadonlyMap<string, string>,
    { bad, beside, like }: BadRecord,
  ): [string, string][] => {
    const own = new Set([bad, ...beside, ...like].map(({ key }) => key));
    return [...content].filter(([key]) => !own.has(key));
  };
  /** Of an index entry that is bad, the block is sound and may change. */
  const untouched = async ({ bad, beside, group, what }: BadRecord, by: string): Promise<void> => {
    const content = await world.content();
    for (const { key, value } of group === 'block' ? [bad, ...beside] : [bad])
      assert.equal(content.get(key), value, `${what}: ${by} ${key}`);
  };

  for (const { argv, tells, status } of ROWS) {
    test(`${argv}: the work on all others is done, and the record stays`, async () => {
      const sounds = new Map<string, Sound>();
      const inSoundWorld = async (like: BadRecord['like']): Promise<Sound> => {
        const id = JSON.stringify(like);
        if (!sounds.has(id)) await reset(like);
        const found = sounds.get(id) ?? { ...(await cnictl(argv)), content: await world.content() };
        sounds.set(id, found);
        return found;
      };
      for (const kind of kinds) {
        const sound = await inSoundWorld(kind.like);
        const expected = othersIn(sound.content, kind);
        await spoil(kind);
        const ran = await cnictl(argv);
        const about = `${kind.what}: ${ran.stderr}${ran.stdout}`;
        assert.equal(ran.status, status?.[kind.group] ?? sound.status, about);
        if (ran.status === sound.status) {
          assert.deepEqual(comparable(ran.stdout), comparable(sound.stdout), about);
          assert.deepEqual(othersIn(await world.content(), kind), expected, about);
        }
        await untouched(kind, argv);
        if (!tells.includes(kind.group)) continue;
        assert.ok(ran.stderr.includes(kind.bad.key), about);
        assert.match(ran.stderr, kind.reason);
      }
    });
  }

  test('check and doctor find it', async () => {
    for (const kind of kinds.filter(({ group }) => group !== 'history')) {
      await spoil(kind);
      const { records } = JSON.parse((await cnictl('check --grace 0')).stdout) as {
        records: { key: string; message: string }[];
      };
      const found = records.find(({ key }) => key === kind.bad.key);
      assert.match(found?.message ?? '', kind.group === 'block' ? /./ : kind.reason, kind.what);
      if (kind.group === 'index' || kind.group === 'mark') continue;
      const doctor = await cnictl('doctor --cluster');
      assert.equal(doctor.status, 1);
      const { findings } = JSON.parse(doctor.stdout) as { findings: { level: string; detail: string }[] };
      assert.ok(
        findings.some(({ level, detail }) => level === 'fail' && kind.reason.test(detail)),
        doctor.stdout,
      );
    }
  });

  test('a backup carries its bytes, and a restore puts them back or leaves them', async () => {
    for (const kind of kinds) {
      await reset(kind.like);
      assert.equal((await cnictl('backup /sound')).status, 0);
      await spoil(kind);
      const before = await world.content();
      const ran = await cnictl('backup /spoilt');
      assert.equal(ran.status, 0, ran.stderr);
      if (kind.group !== 'history') assert.match(ran.stderr, kind.reason, kind.what);
      const { records } = parseBackup(world.cli.files.get('/spoilt') ?? '', 'spoilt');
      assert.ok(
        records.some(({ key, value }) => key === kind.bad.key && value === kind.bad.value),
        kind.what,
      );
      await world.empty();
      const restored = await cnictl('restore /spoilt --yes --force');
      assert.equal(restored.status, 0, restored.stderr);
      assert.deepEqual(withoutLife(await world.content()), withoutLife(before), kind.what);
      await cnictl('restore /sound --merge --yes --force');
      await untouched(kind, 'restore --merge');
      await cnictl('restore /sound --yes --force');
      await untouched(kind, 'restore');
    }
  });

  test('a pod whose address may be in it lacks nothing: check, pod show and restore say so', async () => {
    const { cli } = world;
    const before = cli.pods;
    for (const kind of kinds.filter(({ group }) => group === 'block')) {
      const base = cidrOfBlockKey(kind.bad.key)?.base;
      cli.pods = [...before, cli.pod(7, 'extra', { podIPs: [base ? formatAddress(base) : ''] })];
      cli.pods = cli.pods.filter(({ name }) => name !== 'lost');
      await spoil(kind);
      const { missing } = JSON.parse((await cnictl('check --grace 0')).stdout) as { missing: unknown[] };
      assert.deepEqual(missing, [], kind.what);
      const shown = JSON.parse((await cnictl('pod show shop/extra')).stdout) as { mismatches: unknown[] };
      assert.deepEqual(shown.mismatches, [], kind.what);
      await cnictl('backup /spoilt');
      await world.empty();
      const restored = await cnictl('restore /spoilt --yes');
      assert.equal(restored.status, 0, `${kind.what}: ${restored.stderr}`);
    }
    cli.pods = before;
  });

  test('nodes get addresses, none of which it covers; release, STATUS and warm blocks go on', async () => {
    const { ipam } = world;
    for (const kind of kinds) {
      await spoil(kind);
      const cidr = kind.group === 'block' ? cidrOfBlockKey(kind.bad.key) : undefined;
      const requested = [parseAddress('10.20.3.5')];
      await allocate(ipam, { node: 'node-7', owner: owner('asked'), families: [4], requested });
      for (const n of [4, 5, 6]) {
        const request = { node: `node-${n}`, families: [4, 6] as const };
        await roomFor(ipam, request);
        const given = await allocate(ipam, { ...request, owner: owner(`c-${n}`) });
        assert.equal(given.length, 2, kind.what);
        assert.ok(
          given.every(({ address }) => !cidr || !cidrContains(cidr, address)),
          kind.what,
        );
      }
      assert.notEqual(await claimAhead(ipam, { node: 'node-8' }, 4), undefined, kind.what);
      const attachment = { containerId: container(0), ifname: 'eth0' };
      const freed = await release(ipam, { node: 'node-1', attachment, cause: { why: 'del' } });
      assert.equal(freed.length, 1, kind.what);
      await untouched(kind, 'IPAM');
    }
  });

  test('every block of its range can be claimed but its own, and then the range is full', async () => {
    const { ipam } = world;
    const some = new Set(['a truncated block', 'a stray key below blocks/']);
    for (const kind of kinds.filter(({ what }) => some.has(what))) {
      await spoil(kind);
      const cidr = cidrOfBlockKey(kind.bad.key);
      assert.ok(cidr);
      const claim = (n: number): Promise<unknown> =>
        allocate(ipam, { node: `m-${n}`, owner: owner(`m-${n}`), families: [4], ranges: ['blue'] });
      let n = 0;
      const full = await (async () => {
        for (; n < 80; n++) await claim(n);
        return undefined;
      })().catch((error: unknown) => error);
      assert.equal((full as { code?: string } | undefined)?.code, 'exhausted', kind.what);
      const keys = [...(await world.content())].filter(([key]) => key.startsWith('blocks/blue/'));
      for (const [key, value] of keys.filter(([key]) => key !== kind.bad.key))
        for (const { address } of usedSlots(decodeBlock(key, value)))
          assert.ok(!cidrContains(cidr, address), `${kind.what}: ${formatAddress(address)} is given out`);
      assert.ok(n >= 60, `${kind.what}: ${n} of 64 blocks`);
      await untouched(kind, 'claims');
    }
  });

  suite('that is what was asked for: status 2, and it stays', () => {
    const asked: readonly [group: Group, argv: string][] = [
      ['range', 'range show NAME'],
      ['range', 'range drain NAME'],
      ['range', 'range undrain NAME'],
      ['range', 'range remove NAME --yes'],
      ['range', 'block list --range NAME'],
      ['range', 'block return --range NAME --yes'],
      ['block', 'ip show ADDRESS'],
      ['block', 'ip history ADDRESS'],
      ['block', 'release ADDRESS --yes --force'],
      ['block', 'node remove node-3 --yes --grace 0 --wait 0'],
      ['index', 'node remove node-3 --yes --grace 0 --wait 0'],
      ['mark', 'node undrain node-9'],
      ['mark', 'node remove node-9 --yes --grace 0 --wait 0'],
    ];
    for (const [group, form] of asked) {
      test(`${form} of ${group}`, async () => {
        for (const kind of kinds.filter((each) => each.group === group)) {
          const name = kind.bad.key.split('/').slice(1).join('/');
          const base = cidrOfBlockKey(kind.bad.key)?.base;
          // A stray key has no node, and the address of a block that nobody has claimed is free.
          if (group === 'block' && kind.beside.length === 0) continue;
          await spoil(kind);
          const argv = form.replace('NAME', name).replace('ADDRESS', base ? formatAddress(base) : '');
          const ran = await cnictl(argv);
          const about = `${kind.what}: ${ran.stderr}${ran.stdout}`;
          assert.equal(ran.status, 2, about);
          assert.match(`${ran.stderr}${ran.stdout}`, kind.reason, about);
          await untouched(kind, argv);
        }
      });
    }

    test('node show and node drain of its node tell it, with status 0', async () => {
      for (const kind of kinds.filter(({ group }) => group === 'block' || group === 'index')) {
        if (kind.beside.length === 0) continue;
        for (const argv of ['node show node-3', 'node drain node-3']) {
          await spoil(kind);
          const ran = await cnictl(argv);
          assert.equal(ran.status, 0, ran.stderr);
          assert.match(ran.stderr, kind.reason);
          const { unreadable } = JSON.parse(ran.stdout) as { unreadable: { key: string }[] };
          assert.deepEqual(
            unreadable.map(({ key }) => key),
            [kind.bad.key],
          );
          await untouched(kind, argv);
        }
      }
    });

    test('release of several addresses frees the others', async () => {
      const kind = kinds.find(({ what }) => what === 'a truncated block');
      assert.ok(kind);
      await spoil(kind);
      const base = cidrOfBlockKey(kind.bad.key)?.base;
      const ran = await cnictl(`release ${base ? formatAddress(base) : ''} 10.20.0.17 --yes --force`);
      assert.equal(ran.status, 2);
      const outcomes = (JSON.parse(ran.stdout) as { outcome: string }[]).map(({ outcome }) => outcome);
      assert.deepEqual(outcomes, ['unreadable', 'released']);
      await untouched(kind, 'release');
    });
  });

  test('the programs themselves: cnictl lists, cellnet-ipam serves ADD, STATUS and DEL', async () => {
    const dir = await scope.tempDir();
    for (const what of ['a newer range', 'a truncated block', 'a truncated index entry']) {
      const kind = kinds.find((each) => each.what === what);
      assert.ok(kind);
      await spoil(kind);
      const env = { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','), KUBECONFIG: undefined, HOME: dir };
      const listed = await run(join(OUR_PLUGINS, 'cnictl'), ['range', 'list'], { env, timeoutMs: 20_000 });
      assert.equal(listed.code, 0, listed.stderr);
      assert.match(listed.stdout, /blue.*\n.*green.*\n.*six/);
      if (kind.group !== 'index') assert.match(listed.stderr, kind.reason);
      const config = {
        cniVersion: '1.1.0',
        name: 'cell',
        type: 'bridge',
        ipam: {
          type: 'cellnet-ipam',
          etcd: { endpoints: etcd.endpoints },
          node: 'node-20',
          families: ['ipv4', 'ipv6'],
        },
      };
      const call = {
        containerId: 'c20',
        netns: '/var/run/netns/none',
        config,
        env: { CELLNET_STATE_DIR: dir },
      };
      for (const verb of ['STATUS', 'ADD', 'DEL'] as const) {
        const outcome = await cni(join(OUR_PLUGINS, 'cellnet-ipam'), verb, call);
        assert.equal(outcome.code, 0, `${what}: ${verb}: ${outcome.stdout}`);
        if (verb === 'ADD') assert.equal(outcome.result?.ips?.length, 2);
      }
      await untouched(kind, 'cellnet-ipam');
    }
  });
});
