import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WarmBlocksKeeper } from '../../../../cni/agent/warm-blocks-keeper.ts';
import { allocate } from '../../../../ipam/allocate/allocate.ts';
import { setNodeDraining } from '../../../../ipam/node/drain.ts';
import { addRange } from '../../../../ipam/ranges/ranges.ts';
import { release } from '../../../../ipam/release/release.ts';
import { DEL, owner, range, World } from '../../ipam/world.ts';

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

test('an agent that was started on a drained node gives its blocks back, though nothing is allocated there', async (t) => {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/22', { cooldownMs: 0 }));
  await allocate(world.ipam, { node: 'n', owner: owner('c1'), families: [4] });
  await release(world.ipam, { node: 'n', attachment: owner('c1'), cause: DEL });
  await setNodeDraining(world.ipam, 'n', true);

  const keeper = new WarmBlocksKeeper(world.agent(), new Map(), quiet);
  t.after(() => keeper.stop());
  await keeper.giveBack();
  await keeper.giveBack();
  assert.equal(world.blocks().length, 1, 'of nodes that it does not know it gives nothing back');

  keeper.lookAfter('n');
  await keeper.giveBack();
  assert.equal(world.blocks().length, 1, 'one look is not enough');
  keeper.lookAfter('n');
  await keeper.giveBack();
  assert.equal(world.blocks().length, 0);
  assert.deepEqual(world.problems(), []);
});
