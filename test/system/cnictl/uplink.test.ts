import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { newScope, type Scope } from '../../support/netns.ts';
import { until } from '../../support/proc.ts';
import { ROUTER, startUplinkWorld, type UplinkWorld } from './uplink-world.ts';

const INIT = ['node', 'init', '--bridge', 'br-cell', '--uplink', 'eth0', '--datapath', 'netdev'];
const TAKE = [...INIT, '--take-addresses'];

const commandOf = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // It has ended meanwhile.
  }
};

suite('node init with an uplink that carries the addresses of the host', () => {
  let scope: Scope;
  let world: UplinkWorld;
  let untouched: string;

  before(async () => {
    scope = newScope();
    world = await startUplinkWorld(scope);
    untouched = await world.network();
  });
  after(() => scope.close());

  const bridges = async (): Promise<string> => (await world.ovs.vsctl('list-br')).trim();
  const leftRecord = (): boolean => existsSync(join(world.stateDir, 'uplink-move.json'));
  const isUntouched = async (): Promise<void> => {
    assert.equal(await world.network(), untouched);
    assert.equal(await bridges(), '');
    assert.equal(leftRecord(), false);
    await world.host.pings(ROUTER);
    await world.host.pings('2001:db8::1', '-6');
  };
  /** What the bridge has to have: the same, with its name. */
  const moved = (): string => untouched.replaceAll('eth0', 'br-cell');
  const isMoved = async (): Promise<void> => {
    assert.equal(await world.network(), moved());
    await world.host.pings(ROUTER);
    await world.host.pings('203.0.113.1');
    await world.host.pings('2001:db8::1', '-6');
    assert.equal(leftRecord(), false);
  };
  const guards = async (): Promise<number[]> => {
    const pids = (await world.host.exec('ip', 'netns', 'pids', world.host.name)).trim().split('\n');
    return pids.filter((pid) => commandOf(pid).includes('uplink-guard')).map(Number);
  };
  // A watchdog looks again after it has undone what a killed cnictl has left.
  const guardIsGone = (): Promise<unknown> => until('no watchdog', async () => (await guards()).length === 0);

  test('without the option it is refused, and nothing has changed', async () => {
    for (const more of [[], ['--dry-run']]) {
      const ran = await world.cnictl(...INIT, ...more);
      assert.equal(ran.code, 2, ran.stdout);
      assert.match(
        ran.stderr,
        /uplink 'eth0' carries addresses 198\.51\.100\.5\/32, 192\.0\.2\.5\/24, 192\.0\.2\.6\/24/,
      );
      assert.match(ran.stderr, /2001:db8::5\/64.* and \d+ routes \(/);
      assert.match(ran.stderr, /would be cut off.*\n.*--take-addresses/);
      await isUntouched();
    }
  });

  test('a dry run tells what would be moved', async () => {
    const ran = await world.cnictl(...TAKE, '--dry-run');
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /would do: addresses .*192\.0\.2\.5\/24.* moved from eth0 to br-cell/);
    await isUntouched();
  });

  test('undone, and the exit status is 1, when etcd is not reached', async () => {
    // A bridge without flows in fail mode secure forwards nothing.
    const ran = await world.cnictl(...TAKE, '--fail-mode', 'secure', '--confirm-timeout', '3s');
    assert.equal(ran.code, 1, ran.stderr);
    assert.match(ran.stderr, /undone: not reached within 3s: etcd http:\/\/192\.0\.2\.1:2379 \(/);
    assert.match(ran.stderr, /all is as it was/);
    await isUntouched();
  });

  for (const signal of ['SIGKILL', 'SIGHUP', 'SIGTERM'] as const) {
    test(`undone when cnictl gets ${signal} in the middle`, async () => {
      const child = world.start(...TAKE, '--fail-mode', 'secure');
      await until('the addresses on the bridge', async () => (await world.network()) !== untouched);
      child.kill(signal);
      await until('the addresses back', async () => (await world.network()) === untouched);
      await guardIsGone();
      await isUntouched();
    });
  }

  test('undone when cnictl stands still until the time is over; continued, it says so', async () => {
    const child = world.start(...TAKE, '--fail-mode', 'secure', '--confirm-timeout', '2s');
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await until('the addresses on the bridge', async () => (await world.network()) !== untouched);
    child.kill('SIGSTOP');
    await until('the addresses back', async () => (await world.network()) === untouched, 40_000);
    await guardIsGone();
    child.kill('SIGCONT');
    assert.equal(await ended, 1);
    await isUntouched();
  });

  test('what a killed watchdog has left is undone by the next run', async () => {
    const child = world.start(...TAKE, '--fail-mode', 'secure');
    await until('the addresses on the bridge', async () => (await world.network()) !== untouched);
    for (const pid of await guards()) process.kill(pid, 'SIGKILL');
    child.kill('SIGKILL');
    await until('its end', () => child.signalCode !== null);
    assert.notEqual(await world.network(), untouched);
    const ran = await world.cnictl(...INIT);
    assert.match(ran.stderr, /an earlier move .* was cut off: it is undone/);
    assert.equal(ran.code, 2, 'and then it is refused as before');
    await isUntouched();
  });

  test('with Open vSwitch hung, what is not undone is told, and undone once it works again', async () => {
    world.ovs.pauseVswitchd();
    try {
      const ran = await world.cnictl(...TAKE);
      assert.equal(ran.code, 2, ran.stderr);
      assert.match(ran.stderr, /did not take bridge 'br-cell' up/);
      assert.match(ran.stderr, /not all could be undone: ovs-vswitchd does not carry out changes/);
      assert.equal(await world.network(), untouched);
      const busy = await world.cnictl(...TAKE);
      assert.equal(busy.code, 2);
      assert.match(busy.stderr, /another cnictl is moving addresses/);
    } finally {
      world.ovs.resumeVswitchd();
    }
    await guardIsGone();
    await isUntouched();
  });

  test('without a server on another host nothing proves it, so it is refused', async () => {
    const ran = await world.cnictl('--etcd-endpoints', 'http://192.0.2.9:2379', ...TAKE);
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /no etcd or API server on another host is reached now/);
    await isUntouched();
  });

  test('routes of other tables, rules and next hops are refused by name', async () => {
    const { host } = world;
    const cases: [setUp: string, undo: string, named: RegExp][] = [
      [
        'route add 10.0.0.0/8 via 192.0.2.1 table 100',
        'route del 10.0.0.0/8 table 100',
        /10\.0\.0\.0\/8 via 192\.0\.2\.1 is in table 100/,
      ],
      ['rule add pref 77 iif eth0 lookup main', 'rule del pref 77', /routing rule 77 names eth0/],
      [
        'route add 10.0.0.0/8 nexthop via 192.0.2.1 nexthop via 192.0.2.2',
        'route del 10.0.0.0/8',
        /10\.0\.0\.0\/8 has several next hops/,
      ],
    ];
    for (const [setUp, undo, named] of cases) {
      await host.exec('ip', ...setUp.split(' '));
      const ran = await world.cnictl(...TAKE);
      await host.exec('ip', ...undo.split(' '));
      assert.equal(ran.code, 2, ran.stdout);
      assert.match(ran.stderr, named);
      await isUntouched();
    }
  });

  test('a member of a Linux bridge, and a device that others stand on, are refused', async () => {
    const { host } = world;
    await host.exec('ip', 'link', 'add', 'upper', 'link', 'eth0', 'type', 'macvlan');
    const stacked = await world.cnictl(...TAKE);
    await host.exec('ip', 'link', 'del', 'upper');
    assert.equal(stacked.code, 2);
    assert.match(stacked.stderr, /upper \(macvlan\) stand on it/);
    await host.exec('ip', 'link', 'add', 'br0', 'type', 'bridge');
    await host.exec('ip', 'link', 'add', 'm0', 'type', 'veth', 'peer', 'name', 'm1');
    await host.exec('ip', 'link', 'set', 'm0', 'master', 'br0');
    const member = await world.cnictl('node', 'init', '--uplink', 'm0');
    await host.exec('ip', 'link', 'del', 'm0');
    await host.exec('ip', 'link', 'del', 'br0');
    assert.equal(member.code, 2);
    assert.match(member.stderr, /uplink 'm0' cannot be in a bridge: it is a member of the Linux bridge br0/);
    await isUntouched();
  });

  test('taken over: addresses, routes, MAC; again it changes nothing; doctor warns of one that returns', async () => {
    const mac = (await world.host.exec('cat', '/sys/class/net/eth0/address')).trim();
    const ran = await world.cnictl(...TAKE, '--confirm-timeout', '20s');
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(
      ran.stdout,
      /^bridge br-cell made .*\nuplink eth0 attached to br-cell\n.* moved from eth0 to br-cell\n$/,
    );
    assert.match(ran.stderr, /after a reboot/);
    assert.match(ran.stderr, /2001:db8::6\/64 ends in \d+ s/);
    await isMoved();
    assert.equal((await world.host.exec('cat', '/sys/class/net/br-cell/address')).trim(), mac);
    assert.match(
      await world.ovs.vsctl('get', 'bridge', 'br-cell', 'other_config'),
      new RegExp(`hwaddr="${mac}"`),
    );

    for (const again of [INIT, TAKE]) {
      const repeated = await world.cnictl(...again);
      assert.equal(repeated.code, 0, repeated.stderr);
      assert.match(repeated.stdout, /nothing to do/);
    }
    await isMoved();

    await world.host.exec('ip', 'address', 'add', '192.0.2.5/24', 'dev', 'eth0');
    const doctor = await world.cnictl('--request-timeout', '1s', 'doctor');
    assert.match(
      doctor.stdout,
      /warn +uplink addresses +eth0 is in br-cell and carries address 192\.0\.2\.5\/24/,
    );
    const refused = await world.cnictl(...INIT);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /uplink 'eth0' is in br-cell and carries address 192\.0\.2\.5\/24/);
    const retaken = await world.cnictl(...TAKE);
    assert.equal(retaken.code, 0, retaken.stderr);
    await isMoved();
  });
});
