import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { RULES_CHANGED } from '../../../../ipam/records/rule-record.ts';
import { CliWorld } from '../../../golden/world.ts';

suite('restore of rules', () => {
  const add = async (world: CliWorld, line: string): Promise<void> => {
    const ran = await world.run(`rule add ${line}`);
    assert.equal(ran.status, 0, ran.stderr);
  };
  const changed = ({ ipam }: CliWorld): string | undefined => ipam.store.entries.get(RULES_CHANGED)?.value;

  test('processes that know rules read them again', async () => {
    const world = await CliWorld.make();
    world.pods = world.pods.filter(({ name }) => name !== 'lost');
    await add(world, 'one --namespace shop --range blue');
    await world.run('backup /b');
    assert.doesNotMatch(world.files.get('/b') ?? '', /rules\/changed/);
    const before = changed(world);
    world.ipam.store.entries.clear();
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 0, ran.stderr);
    assert.notEqual(changed(world), before);
    assert.match((await world.run('rule list')).stdout, /one +shop/);
  });

  test('a merge refuses a name that is taken and an equal rule, and tells of what it brought', async () => {
    const world = await CliWorld.make();
    await add(world, 'one --namespace shop --range blue');
    await add(world, 'two --namespace test --range blue');
    await add(world, 'three --namespace web --range blue');
    await world.run('backup /b');
    for (const name of ['one', 'two', 'three']) await world.run(`rule remove ${name}`);
    await add(world, 'one --namespace other --range blue');
    await add(world, 'equal --namespace test --range blue');
    const before = changed(world);
    const ran = await world.run('restore /b --merge --yes');
    assert.match(ran.stdout + ran.stderr, /another rule has the name one/);
    assert.match(ran.stdout + ran.stderr, /rule equal may be for the same pod/);
    assert.notEqual(changed(world), before);
    assert.match((await world.run('rule list')).stdout, /three +web/);
  });
});
