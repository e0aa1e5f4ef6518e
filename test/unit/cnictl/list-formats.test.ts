import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
// Loaded in advance, so that a test need not wait for it.
import '../../../cnictl/commands/watch-list.ts';
import { CliWorld } from '../../golden/world.ts';
import { World as IpamWorld } from '../ipam/world.ts';
import { WatchedMemory } from '../../support/watched-memory.ts';
import { directIpam } from '../../../ipam/node/ipam.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { range } from '../ipam/world.ts';

const first = (text: string): string[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/\s+/)[0] ?? '');

suite('lists in every format', () => {
  test('-o name has a line for each, which another command takes', async () => {
    const world = await CliWorld.make();
    assert.equal((await world.run('range list -o name')).stdout, 'blue\ngreen\nsix\n');
    assert.deepEqual(first((await world.run('ip list -o name')).stdout).slice(0, 2), [
      '10.20.0.16',
      '10.20.0.17',
    ]);
    assert.match((await world.run('pod list -o name')).stdout, /^shop\/api-1\n/);
    assert.equal((await world.run('rule list -o name')).stdout, '');
  });

  test('-o name of what is no list is refused before anything is done', async () => {
    const world = await CliWorld.make();
    const ran = await world.run('range drain blue -o name');
    assert.deepEqual([ran.status, ran.stdout], [2, '']);
    assert.match(ran.stderr, /-o name: 'range drain' is no list/);
    assert.match((await world.run('range show blue')).stdout, /State: +active/);
  });

  test('-o jsonpath, with tabs, and a wrong one is told with its place', async () => {
    const world = await CliWorld.make();
    const path = '{range .items[?(@.state=="draining")]}{.name}{"\\t"}{.cidr}{"\\n"}{end}';
    assert.equal(
      (await world.run(['range', 'list', '-o', `jsonpath=${path}`])).stdout,
      'green\t10.30.0.0/28\n',
    );
    const bad = await world.run(['range', 'list', '-o', 'jsonpath={.items[}']);
    assert.match(bad.stderr, /^cnictl: -o jsonpath '\{\.items\[\}': at character 9: expected /);
    assert.match((await world.run('range list -o jsno')).stderr, /Did you mean 'json'\?/);
    assert.match((await world.run('range list -o jsonpath')).stderr, /-o jsonpath='/);
  });

  test('--no-headers leaves titles out, and says of nothing on stderr', async () => {
    const world = await CliWorld.make();
    const [, ...rows] = (await world.run('range list')).stdout.split('\n');
    const narrow = (text: string): string => text.replaceAll(/ +/g, ' ');
    const { stdout } = await world.run('range list --no-headers');
    assert.equal(narrow(stdout), narrow(rows.join('\n')));
    const none = await world.run('rule list --no-headers');
    assert.deepEqual([none.stdout, none.stderr.startsWith('No rules')], ['', true]);
  });

  test('-o wide has more columns', async () => {
    const world = await CliWorld.make();
    assert.match((await world.run('ip list -o wide')).stdout, /^ADDRESS .* AGE +BLOCK +UID +NETWORK\n/);
  });

  test('a terminal of 80 columns has those that matter, a pipe has all', async () => {
    const world = await CliWorld.make();
    world.isTerminal = true;
    world.env['NO_COLOR'] = '1';
    for (const command of ['ip list', 'pod list', 'range list', 'block list', 'rule list', 'node list']) {
      const { stdout } = await world.run(command);
      for (const line of stdout.split('\n')) assert.ok(line.length <= 80, `${command}: ${line}`);
    }
    assert.doesNotMatch((await world.run('ip list')).stdout, /CONTAINER/);
    assert.match((await world.run('ip list -o wide')).stdout, /CONTAINER/);
    world.isTerminal = false;
    assert.match((await world.run('ip list')).stdout, /CONTAINER/);
  });

  test('--color decides, whatever the terminal', async () => {
    const world = await CliWorld.make();
    assert.ok((await world.run('range list --color always')).stdout.includes('\u001b[1m'));
    world.isTerminal = true;
    assert.ok((await world.run('range list')).stdout.includes('\u001b[1m'));
    assert.ok(!(await world.run('range list --color never')).stdout.includes('\u001b['));
  });
});

suite('--sort-by', () => {
  for (const [by, expected] of [
    ['free', ['green', 'blue', 'six']],
    ['-FREE', ['six', 'blue', 'green']],
    ['subnet', ['blue', 'green', 'six']],
    ['.state', ['blue', 'six', 'green']],
    ['{.allocated}', ['green', 'six', 'blue']],
    ['.gateway', ['blue', 'six', 'green']],
  ] as const)
    test(by, async () => {
      const world = await CliWorld.make();
      assert.deepEqual(
        first((await world.run(['range', 'list', '--sort-by', by, '-o', 'name'])).stdout),
        expected,
      );
    });

  test('of a column that is not there names those that are', async () => {
    const world = await CliWorld.make();
    const ran = await world.run('range list --sort-by fre');
    assert.match(ran.stderr, /--sort-by 'fre': expected one of name, subnet, .*\n {2}Did you mean 'free'\?/);
  });
});

suite('ip list and pod list', () => {
  test('-A is every namespace, also beside -n, as for kubectl', async () => {
    const world = await CliWorld.make();
    for (const list of ['ip list', 'pod list']) {
      const all = (await world.run(`${list} -o name`)).stdout;
      assert.match(all, /\n.+\n/);
      assert.equal((await world.run(`${list} -o name -A`)).stdout, all);
      assert.equal((await world.run(`${list} -o name -n nobody --all-namespaces`)).stdout, all);
    }
  });

  test('filter by pod, namespace and state', async () => {
    const world = await CliWorld.make();
    const ips = async (more: string): Promise<string[]> =>
      first((await world.run(`ip list -o name ${more}`)).stdout);
    assert.deepEqual(await ips('--pod web-*'), ['10.20.0.16', '10.20.0.17']);
    assert.deepEqual(await ips('-n shop --pod api-1'), ['10.20.0.64', 'fd00:20::2c6f:5bd0:0:0']);
    assert.deepEqual(await ips('--state cooling'), ['10.20.0.66']);
    assert.equal((await ips('--state reserved,free --range blue')).length, 32 - 7);
    const none = await world.run('ip list -n shpo');
    assert.equal(none.stdout, "No such address. No pod of namespace 'shpo' has one. Did you mean 'shop'?\n");
    assert.match(
      (await world.run('ip list --state usd')).stderr,
      /some of used, .*\n {2}Did you mean 'used'\?/,
    );
  });

  test('have each pod once, with all its addresses and its rule', async () => {
    const world = await CliWorld.make();
    await world.run('rule add api --namespace shop --pod api-* --range blue');
    const [pod] = JSON.parse((await world.run('pod list --pod api-* -o json')).stdout) as object[];
    assert.deepEqual(pod, {
      ...pod,
      ...{ namespace: 'shop', name: 'api-1', node: 'node-2', rule: 'api', ruleByNames: true },
      addresses: [
        { ip: '10.20.0.64', range: 'blue', ifname: 'eth0' },
        { ip: 'fd00:20::2c6f:5bd0:0:0', range: 'six', ifname: 'eth0' },
      ],
    });
    assert.match(
      (await world.run('pod list --node node-1')).stdout,
      /^shop +web-1 +10\.20\.0\.16 +node-1 +- +3h$/m,
    );
    assert.match((await world.run('pod list --rule ap')).stderr, /Did you mean 'api'\?/);
    assert.match((await world.run('pod list --node node-3')).stderr, /node 'node-3' is not known/);
    assert.deepEqual(await world.run('pod show api-1 -n shop'), await world.run('pod show shop/api-1'));
  });
});

suite('--watch', () => {
  const make = () => {
    const store = new WatchedMemory();
    const world = new CliWorld();
    const { effects } = new IpamWorld();
    const ipam = directIpam(store, effects);
    world.store = store;
    world.openEvents = () => Promise.resolve({ watches: store.watches, effects, close: () => undefined });
    return { world, store, ipam };
  };
  const settled = () => sleep(60);

  test('prints the list, then what changes, also over a lost connection', async () => {
    const { world, store, ipam } = make();
    await addRange(ipam, range('10.20.0.0/24', { name: 'blue' }));
    const running = world.run('range list --watch --output-watch-events -o json');
    await settled();
    await addRange(ipam, range('10.21.0.0/24', { name: 'red' }));
    await settled();
    store.cut();
    await settled();
    await world.run('range drain red');
    await settled();
    await world.run('range remove blue --yes');
    await settled();
    world.stop.abort();
    const { status, stdout } = await running;
    assert.equal(status, 0);
    const told = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; object: { name: string } })
      .map(({ type, object }) => `${type} ${object.name}`)
      // A removal drains the range first, which a reading may see.
      .filter((each) => each !== 'MODIFIED blue');
    assert.deepEqual(told, ['ADDED blue', 'ADDED red', 'MODIFIED red', 'DELETED blue']);
  });

  test('as a table has the titles once', async () => {
    const { world, ipam } = make();
    const running = world.run('range list -w');
    await settled();
    await addRange(ipam, range('10.20.0.0/24', { name: 'blue' }));
    await settled();
    await world.run('range drain blue');
    await settled();
    world.stop.abort();
    const { stdout } = await running;
    assert.match(stdout, /^NAME .*\nblue .* active .*\nblue .* draining .*\n$/);
  });

  test('--output-watch-events is refused without it', async () => {
    const world = await CliWorld.make();
    assert.match((await world.run('ip list --output-watch-events')).stderr, /expected --watch with it/);
  });
});
