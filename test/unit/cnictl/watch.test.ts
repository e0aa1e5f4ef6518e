import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../cni/kube/errors.ts';
import { parseListenAddress } from '../../../cnictl/check/metrics-listen.ts';
import { CheckMetrics } from '../../../cnictl/check/metrics.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { CliWorld } from '../../golden/world.ts';

/**
 * Returns a world that stops `check --watch` at the given number of pauses. `at` runs at each
 * pause.
 */
async function watched(
  pauses: number,
  at: (n: number, world: CliWorld) => void = () => undefined,
): Promise<CliWorld> {
  const world = await CliWorld.make();
  let n = 0;
  world.meanwhile = () => {
    at(++n, world);
    if (n === pauses) world.stop.abort();
    return Promise.resolve();
  };
  return world;
}

suite('check --watch', () => {
  test('looks, releases and waits, again and again, until it is stopped: status 0', async () => {
    // Each round pauses for the grace period when it suspects something, and then for the interval.
    const world = await watched(4);
    const ran = await world.run('check --watch 10s --grace 1s --release --yes --log log.jsonl');
    assert.equal(ran.status, 0, ran.stderr);
    assert.deepEqual(world.pauses, [1_000, 10_000, 1_000, 10_000]);
    assert.match(ran.stdout, /^2026-01-01T03:00:10\.000Z\nLeaked: /);
    assert.match(ran.stdout, /3 leaked, 1 missing.*\n(.*\n)*.*0 leaked, 1 missing/);
    assert.equal(world.ipam.given().size, 4);
    const log = (world.files.get('log.jsonl') ?? '').trim().split('\n');
    assert.deepEqual(
      log.map((line) => JSON.parse(line) as object).map((each) => ({ ...each, containerId: 'c' })),
      [
        ['10.20.0.17', 'pod-finished', 'web-2', 1, 2],
        ['10.20.0.18', 'pod-replaced', 'db-0', 2, 3],
        ['10.20.0.19', 'pod-gone', 'job-1', 3, 4],
      ].map(([ip, reason, name, n, sequence]) => ({
        time: '2026-01-01T03:00:10.000Z',
        ip,
        outcome: 'condemned',
        reason,
        range: 'blue',
        node: 'node-1',
        containerId: 'c',
        ifname: 'eth0',
        network: 'cell',
        pod: { namespace: 'shop', name, uid: `00000000-0000-4000-8000-00000000000${n}` },
        allocatedAt: '2026-01-01T00:00:00.000Z',
        sequence,
      })),
    );
  });

  test('tells a round that found nothing new in one line, and as JSON each in one line', async () => {
    const world = await watched(6);
    const ran = await world.run('check --watch 10s --grace 1s');
    assert.equal(ran.stdout.split('Leaked: ').length - 1, 1, 'in full once');
    assert.equal(ran.stdout.split('3 leaked, 1 missing').length - 1, 3);
    const json = await (await watched(4)).run('check --watch 10s --grace 1s -o json');
    assert.deepEqual(
      json.stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { counts: { leaked: number } }).counts.leaked),
      [3, 3],
    );
  });

  test('outlives an API server and an etcd that are away, tries soon again, and releases nothing meanwhile', async () => {
    const world = await watched(8, (n, each) => {
      if (n === 3) each.kube = {};
      if (n === 3)
        each.ipam.store.before = () => Promise.reject(new IpamError('store-unreachable', 'etcd is away'));
      if (n === 5) each.ipam.store.before = () => Promise.resolve();
    });
    world.kube = { listPods: () => Promise.reject(new KubeError('unreachable', 'https://api is away')) };
    const { revision } = world.ipam.store;
    let before = revision;
    const { meanwhile } = world;
    world.meanwhile = async (ms) => {
      await meanwhile(ms);
      if (world.pauses.length === 5) before = world.ipam.store.revision;
    };
    const ran = await world.run('check --watch 1m --grace 1s --release --yes');
    assert.equal(ran.status, 0);
    assert.equal(before, revision, 'nothing was released while one of them was away');
    assert.deepEqual(world.pauses.slice(0, 5), [5_000, 10_000, 20_000, 40_000, 60_000]);
    assert.match(ran.stderr, /cnictl: https:\/\/api is away\n(.*\n)*cnictl: etcd is away/);
    assert.equal(world.ipam.given().size, 4, 'and then all of it');
  });

  test('never releases for want of pods: an API server without any is a failed round', async () => {
    const world = await watched(1);
    world.pods = [];
    const ran = await world.run('check --watch 1m --grace 0 --release --yes');
    assert.match(ran.stderr, /has no pod at all.*Nothing was released/);
    assert.equal(world.ipam.given().size, 7);
  });

  test('is refused without --yes, with an interval that is none, with metrics nowhere', async () => {
    const world = await CliWorld.make();
    world.isTerminal = true;
    for (const [argv, message] of [
      ['check --watch --release', /nobody is asked in each round\n.*Add --yes/],
      ['check --watch 0', /--watch '0': expected at least 1s/],
      ['check --watch soon', /--watch 'soon': expected a duration/],
      [
        'check --watch --metrics-listen localhost:80',
        /--metrics-listen 'localhost:80': expected an IP address/,
      ],
      ['check --metrics-listen 127.0.0.1:0', /expected --watch with it/],
      ['check --log x', /expected --release with it/],
    ] as const) {
      const ran = await world.run(argv);
      assert.equal(ran.status, 2, argv);
      assert.match(ran.stderr, message);
    }
    assert.deepEqual(world.pauses, []);
  });

  test('addresses to listen at', () => {
    assert.deepEqual(parseListenAddress('127.0.0.1:9462'), { host: '127.0.0.1', port: 9462 });
    assert.deepEqual(parseListenAddress('[::1]:0'), { host: '::1', port: 0 });
    for (const text of [
      '',
      '9462',
      ':9462',
      '::1:9462',
      '[127.0.0.1]:1',
      '127.0.0.1:65536',
      '127.0.0.1',
      'unix:/x',
    ])
      assert.throws(() => parseListenAddress(text), /expected an IP address and a port/, text);
  });

  test('health says why there is none, and metrics count by source', async () => {
    const metrics = new CheckMetrics();
    assert.equal(metrics.health().ok, false);
    metrics.succeeded(1_000_000, 2_500);
    assert.equal(metrics.health().ok, true);
    metrics.failed(new KubeError('unreachable', 'https://api is away'));
    assert.deepEqual(metrics.health().reasons, ['https://api is away']);
    metrics.outcome({ kind: 'released', reason: 'pod-gone' }, 'pod-gone');
    metrics.outcome({ kind: 'changed' }, 'pod-gone');
    const text = await metrics.text();
    for (const line of [
      'cellnet_check_last_success_timestamp_seconds 1000',
      'cellnet_check_duration_seconds 2.5',
      'cellnet_check_errors_total{source="kubernetes"} 1',
      'cellnet_check_errors_total{source="etcd"} 0',
      'cellnet_check_released_total{reason="pod-gone"} 1',
      'cellnet_check_kept_total 1',
    ])
      assert.ok(text.includes(`\n${line}\n`), `${line} in ${text}`);
  });
});

suite('progress', () => {
  test('is a moving line on a terminal, which is taken away before anything else is written', async () => {
    const world = await CliWorld.make();
    world.showsProgress = true;
    const ran = await world.run('check --grace 0');
    assert.match(ran.stderr, /\r\u001b\[K█+ 100% {2}3 of 3 blocks/);
    for (const part of ran.stderr.split('cnictl: ').slice(0, -1)) assert.match(part, /(^|\u001b\[K|\n)$/);
    assert.ok(ran.stderr.endsWith('\r\u001b[K'));
  });

  test('is nothing elsewhere', async () => {
    const world = await CliWorld.make();
    assert.doesNotMatch((await world.run('check --grace 0')).stderr, /\r/);
  });
});

suite('release from reports', () => {
  const saved = async (): Promise<CliWorld> => {
    const world = await CliWorld.make();
    await world.run('check --grace 0 --save a.json');
    return world;
  };

  test('several are intersected: what one of them does not name stays', async () => {
    const world = await saved();
    world.pods.push(world.pod(3, 'job-1'));
    await world.run('check --grace 0 --save b.json');
    world.pods.pop();
    const ran = await world.run('release --from-report a.json --from-report b.json --yes -o json');
    assert.equal(ran.status, 0, ran.stderr);
    assert.deepEqual(
      (JSON.parse(ran.stdout) as { ip: string }[]).map(({ ip }) => ip),
      ['10.20.0.17', '10.20.0.18'],
    );
    assert.equal(world.ipam.given().get('10.20.0.19')?.[0], '3');
  });

  test('what the same container was given anew is kept, though its block counts as it did before', async () => {
    for (const force of ['', ' --force']) {
      const world = await saved();
      const { store } = world.ipam;
      for (const { key, value } of [...store.entries.values()].filter((each) =>
        each.key.startsWith('blocks/'),
      ))
        await store.commit([], [put(key, value.replaceAll(/"allocatedAt":"\d{4}/g, '"allocatedAt":"2031'))]);
      const ran = await world.run(`release --from-report a.json --yes${force}`);
      assert.match(ran.stdout, /^10\.20\.0\.17 kept: it has another owner now$/m);
      assert.equal(world.ipam.given().size, 7);
    }
  });

  test('one of them of another cluster refuses all', async () => {
    const world = await saved();
    world.files.set('b.json', (world.files.get('a.json') ?? '').replace('"cluster-1"', '"cluster-2"'));
    const ran = await world.run('release --from-report a.json --from-report b.json --yes');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /the report is of the cluster at/);
    assert.equal(world.ipam.given().size, 7);
  });

  test('none in common is said', async () => {
    const world = await saved();
    world.files.set('b.json', (world.files.get('a.json') ?? '').replaceAll('"sequence": ', '"sequence": 9'));
    const ran = await world.run('release --from-report a.json --from-report b.json --yes');
    assert.equal(ran.stdout, 'No leaked address is in all of the reports: nothing to release.\n');
  });

  test('an API server without any pod is doubted, unless that was to be expected', async () => {
    const world = await saved();
    world.pods = [];
    for (const what of ['--from-report a.json', '10.20.0.19', '10.20.0.19 --dry-run']) {
      const ran = await world.run(`release ${what} --yes`);
      assert.deepEqual([ran.status, ran.stdout], [2, ''], what);
      assert.match(ran.stderr, /has no pod at all.*Nothing was released\n.*--even-if-no-pods/);
    }
    assert.equal(world.ipam.given().size, 7);
    const ran = await world.run('release --from-report a.json --yes --even-if-no-pods --log log.jsonl');
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal(world.ipam.given().size, 4);
    assert.equal((world.files.get('log.jsonl') ?? '').split('"outcome":"cleared"').length - 1, 3);
  });

  test('a dry run logs nothing', async () => {
    const world = await saved();
    await world.run('release --from-report a.json --dry-run --log log.jsonl');
    assert.equal(world.files.has('log.jsonl'), false);
  });
});
