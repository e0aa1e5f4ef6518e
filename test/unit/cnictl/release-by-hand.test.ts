import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../cni/kube/errors.ts';
import { freeAddress } from '../../../cnictl/check/free.ts';
import { NodeLives } from '../../../cnictl/check/node-lives.ts';
import { parseAddress } from '../../../ipam/model/address.ts';
import { CliWorld } from '../../golden/world.ts';

suite('release by hand', () => {
  test('asks on a terminal, showing the owner, and takes no for an answer', async () => {
    const world = await CliWorld.make();
    world.isTerminal = true;
    world.env['NO_COLOR'] = '1';
    world.answers = ['n', 'y'];
    const refused = await world.run('release 10.20.0.19');
    assert.equal(refused.status, 2);
    assert.match(
      refused.stderr,
      /10\.20\.0\.19 is given to shop\/job-1 .* on node-1 for 3h\n.*releases 1 address\. Go on\? \[y\/N\]/,
    );
    assert.equal(world.ipam.given().size, 7);
    assert.equal((await world.run('release 10.20.0.19')).status, 0);
    assert.equal(world.ipam.given().size, 6);
  });

  test('without a terminal needs --yes', async () => {
    const world = await CliWorld.make();
    const ran = await world.run('release 10.20.0.19');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /This releases 1 address: nobody can be asked, .*\n.*Add --yes/);
    assert.equal(world.ipam.given().size, 7);
  });

  test('keeps what names no pod, unless forced', async () => {
    const world = await CliWorld.make();
    assert.equal((await world.run('release 10.20.0.65 --yes')).status, 2);
    assert.equal((await world.run('release 10.20.0.65 --yes --force')).status, 0);
  });

  test('without an API server releases nothing, by address, from a report or dry, unless forced', async () => {
    const world = await CliWorld.make();
    await world.run('check --grace 0 --save report.json');
    world.env = {};
    const { revision } = world.ipam.store;
    for (const what of ['10.20.0.16', '10.20.0.16 --dry-run', '--from-report report.json']) {
      const ran = await world.run(`release ${what} --yes`);
      assert.equal(ran.status, 2, what);
      assert.equal(ran.stdout, '');
      assert.match(
        ran.stderr,
        /no API server is known.*: nothing was released\n.*--kubeconfig, or add --force/,
      );
    }
    assert.equal(world.ipam.store.revision, revision);
    assert.equal((await world.run('release 10.20.0.16 --dry-run --force')).status, 0);
    assert.equal(world.ipam.store.revision, revision);
    assert.equal((await world.run('release 10.20.0.16 --yes --force')).status, 0);
    assert.equal(world.ipam.given().has('10.20.0.16'), false);
  });

  test('an address without an API server to ask counts as in use, whoever the caller is', async () => {
    const world = await CliWorld.make();
    const address = parseAddress('10.20.0.19');
    const outcome = await freeAddress(world.ipam.ipam, undefined, address, {
      dryRun: false,
      force: false,
      by: 'admin',
      lives: new NodeLives(undefined),
      wire: { answersFor: () => assert.fail('asked the wire'), canAsk: () => assert.fail('asked the wire') },
    });
    assert.deepEqual(outcome, { kind: 'unknown' });
    assert.equal(world.ipam.given().size, 7);
  });

  test('one address that is not to be released stops all of them', async () => {
    const world = await CliWorld.make();
    assert.equal((await world.run('release 10.20.0.19 10.20.0.1 --yes')).status, 2);
    assert.equal(world.ipam.given().size, 7);
  });

  test('by force it needs nothing of an API server that does not answer', async () => {
    const world = await CliWorld.make();
    const silent = (): Promise<never> => Promise.reject(new KubeError('timeout', 'no answer'));
    world.kube = { listNodes: silent, getPod: silent, anyPod: silent };
    const ran = await world.run('release 10.20.0.16 --yes --force');
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal(world.ipam.given().has('10.20.0.16'), false);
  });
});
