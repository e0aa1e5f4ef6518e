/**
 * `cnictl map` on a real pseudo terminal and the real etcd, while pods come and go: from the
 * overview to an address, search, other sizes, etcd away, and the terminal as it was afterwards.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { parseAddress } from '../../../ipam/model/address.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { Writer } from '../../support/event-writer.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { run } from '../../support/proc.ts';
import { Pty } from '../../support/pty.ts';
import { owner, range } from '../../unit/ipam/world.ts';

const CNICTL = join(OUR_PLUGINS, 'cnictl');
const ESC = '\u001b';
const [DOWN, RIGHT, ENTER] = [`${ESC}[B`, `${ESC}[C`, '\r'];
const SIGTERM = 15;
const SIGTSTP = 20;

suite('cnictl map', () => {
  let scope: Scope;
  let etcd: Etcd;
  let ipam: Ipam;
  let env: Record<string, string>;

  before(async () => {
    scope = newScope();
    etcd = scope.use(await startEtcd());
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => store.close());
    ipam = directIpam(store, hostEffects);
    env = { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','), HOME: await scope.tempDir() };
    await addRange(ipam, range('10.20.0.0/22', { name: 'blue', vlan: 120, cooldownMs: 0 }));
    await addRange(ipam, range('10.30.0.0/24', { name: 'red', cooldownMs: 0, namedOnly: true }));
    for (const [n, ip] of ['10.20.1.16', '10.20.1.17', '10.20.2.35'].entries()) {
      const pod = { podNamespace: 'shop', podName: `web-${n}`, podUid: `u-${n}` };
      await allocate(ipam, {
        node: `node-${n >> 1}`,
        owner: owner(`web-${n}`, pod),
        families: [4],
        requested: [parseAddress(ip)],
      });
    }
    const gone = { containerId: 'web-1', ifname: 'eth0' };
    await release(ipam, { node: 'node-0', attachment: gone, cause: { why: 'del' } });
  });
  after(() => scope.close());

  const opened = (args: readonly string[] = [], more: Record<string, string> = {}): Pty => {
    const pty = new Pty([CNICTL, 'map', ...args], { ...env, ...more });
    scope.defer(() => pty.close());
    return pty;
  };

  test('from the overview to an address while pods come and go, search, other sizes, quit', async () => {
    const pty = opened();
    await pty.shows(/> blue +10\.20\.0\.0\/22 +120/);
    assert.ok(pty.screen.isAlternate && !pty.screen.hasCursor);
    const writer = new Writer(ipam);
    let stop = false;
    const churning = (async () => {
      for (let n = 0; !stop; n++) {
        await writer.assign(`churn-${n % 2}`, 'churn');
        if (n % 3 > 0) await writer.release();
        await hostEffects.pause(20);
      }
    })();
    await pty.shows(/blue .*\+\d+ -\d+/);
    pty.press(DOWN);
    await pty.shows(/> red/);
    pty.press('k');
    pty.press(ENTER);
    await pty.shows(/cnictl map {2}blue {2}10\.20\.0\.0\/22 {2}VLAN 120 .*live/);
    pty.press('/shop/web-2\r');
    await pty.shows(/> 10\.20\.2\.32\/28 {3}\.\.\.#\.{12} +1\/16 {2}node-1/);
    await pty.shows(/1 of 1: pod shop\/web-2/);
    assert.equal(pty.screen.inverse, '#');
    pty.press(ENTER);
    await pty.shows(/State +used\n.*Range +blue[^]*Node +node-1\n[^]*Pod +shop\/web-2/);

    pty.resize(40, 12);
    await pty.shows(
      (screen) => screen.rows === 12 && /^cnictl map {2}10\.20\.2\.35 +live$/m.test(screen.text),
    );
    pty.press(ESC);
    await pty.shows(/^> 10\.20\.2\.32\/28/m);
    pty.resize(120, 40);
    await pty.shows((screen) => screen.rows === 40 && /> 10\.20\.2\.32\/28 .*node-1/.test(screen.text));
    assert.match(pty.screen.lines.at(-1) ?? '', /q quit/);

    pty.press('/10.20.1.17\r');
    await pty.shows(/1 of 1: address 10\.20\.1\.17/);
    pty.press(RIGHT);
    await pty.shows(/^10\.20\.1\.18 {2}free/m);
    pty.press(`h${ENTER}${ENTER}`);
    await pty.shows(/Before\n {2}20\S+Z to 20\S+Z .* shop\/web-1 {2}node-0 {2}del/);
    stop = true;
    await churning;
    pty.press('q');
    assert.deepEqual(await pty.ended(), { status: 0, restored: true, wasRaw: true });
    const { isAlternate, hasCursor, wraps, unknown } = pty.screen;
    assert.deepEqual(
      { isAlternate, hasCursor, wraps, unknown },
      { isAlternate: false, hasCursor: true, wraps: true, unknown: [] },
    );
  });

  test('ctrl-Z and SIGTSTP where no shell can go on with it: the map is there again', async () => {
    const pty = opened();
    await pty.shows(/> blue/);
    for (const stop of [() => pty.press('\u001a'), () => pty.signal(SIGTSTP)]) {
      stop();
      await pty.shows(({ isAlternate }) => !isAlternate);
      await pty.shows(({ isAlternate, text }) => isAlternate && /> blue/.test(text));
      // Keys come one by one again.
      pty.press('?');
      await pty.shows(/KEYS/);
      pty.press('?');
      await pty.shows(/> blue/);
    }
    pty.press('q');
    const { status, restored } = await pty.ended();
    assert.deepEqual({ status, restored }, { status: 0, restored: true });
  });

  test('etcd away and back is told; SIGTERM and an error restore the terminal', async () => {
    const pty = opened(['10.20.1.16'], { NO_COLOR: '1' });
    await pty.shows(/Pod +shop\/web-0/);
    await etcd.kill();
    await pty.shows(/etcd away since \d\d:\d\d:\d\dZ \(\d+s\)/);
    await etcd.restart();
    await pty.shows(/10\.20\.1\.16 +live$/m, 20_000);
    pty.signal(SIGTERM);
    assert.deepEqual(await pty.ended(), { status: 0, restored: true, wasRaw: true });
    assert.ok(!pty.screen.isAlternate && pty.screen.hasCursor);

    const wrong = opened(['nowhere']);
    assert.deepEqual(await wrong.ended(), { status: 2, restored: true, wasRaw: true });
    assert.ok(!wrong.screen.isAlternate);
    assert.match(wrong.screen.text, /'nowhere': expected a range, an address/);
  });

  test('elsewhere it is printed once', async () => {
    const { code, stdout } = await run(CNICTL, ['map', 'node-0'], { env });
    assert.equal(code, 0);
    assert.match(stdout, /^10\.20\.1\.16\/28 {2}#\.{15} +1\/16 {2}node-0$/m);
  });
});
