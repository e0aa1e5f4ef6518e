import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { release } from '../../../ipam/release/release.ts';
import { CliWorld, container } from '../../golden/world.ts';
import { owner } from '../ipam/world.ts';

suite('a saved report', () => {
  const saved = async (): Promise<CliWorld> => {
    const world = await CliWorld.make();
    await world.run('check --grace 0 --save report.json');
    return world;
  };

  test('is released later', async () => {
    const world = await saved();
    const ran = await world.run('release --from-report report.json --yes');
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal(world.ipam.given().size, 4);
  });

  test('frees nothing that changed hands since', async () => {
    const world = await saved();
    await release(world.ipam.ipam, {
      node: 'node-1',
      attachment: { containerId: container(3), ifname: 'eth0' },
      cause: { why: 'del' },
    });
    world.ipam.now += 60_000;
    // These allocations use up the whole block, so that the address gets a new owner.
    for (let i = 20; i < 32; i++)
      await allocate(world.ipam.ipam, { node: 'node-1', owner: owner(`new-${i}`), families: [4] });
    await allocate(world.ipam.ipam, { node: 'node-1', owner: owner('new'), families: [4] });
    assert.equal(world.ipam.given().get('10.20.0.19'), 'new');
    const ran = await world.run('release --from-report report.json --yes');
    assert.match(ran.stdout, /10\.20\.0\.19 kept: it has another owner now/);
    assert.equal(world.ipam.given().get('10.20.0.19'), 'new');
  });

  test('frees nothing whose pod lives again', async () => {
    const world = await saved();
    world.pods.push(world.pod(3, 'job-1'));
    const ran = await world.run('release --from-report report.json --yes');
    assert.equal(ran.status, 2);
    assert.match(ran.stdout, /10\.20\.0\.19 kept: pod shop\/job-1 lives/);
  });

  test('of another cluster or prefix is refused', async () => {
    const world = await saved();
    world.kube = { clusterUid: () => Promise.resolve('cluster-2') };
    const other = await world.run('release --from-report report.json --yes');
    assert.equal(other.status, 2);
    assert.match(other.stderr, /the report is of the cluster at/);
    assert.match(other.stderr, /a new report: cnictl check --save FILE/);
    const prefix = await world.run('--etcd-prefix /other release --from-report report.json --yes');
    assert.match(prefix.stderr, /is about etcd prefix '\/cellnet': expected '\/other'/);
    assert.equal(world.ipam.given().size, 7);
  });

  test('that is none is refused by field', async () => {
    const world = await saved();
    world.files.set('bad.json', '{"kind":"cellnet-check","version":2}');
    assert.match(
      (await world.run('release --from-report bad.json --yes')).stderr,
      /bad\.json is no report of cnictl check: key 'version' is 2: expected 1/,
    );
    world.files.set('bad.json', 'x');
    assert.match((await world.run('release --from-report bad.json --yes')).stderr, /bad\.json is not JSON/);
  });
});
