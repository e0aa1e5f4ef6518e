import assert from 'node:assert/strict';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import type { ReleaseCause } from '../../../ipam/model/lifetime.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { HISTORY } from '../../../ipam/records/keys.ts';
import { release } from '../../../ipam/release/release.ts';
import { DEL, owner, range, World } from './world.ts';

export const BLUE = range('10.20.0.0/24', { name: 'blue', cooldownMs: 0 });
export const attachment = (containerId: string): { containerId: string; ifname: string } => ({
  containerId,
  ifname: 'eth0',
});
export const historyOf = (world: World): Map<string, string> =>
  new Map(
    [...world.store.entries.values()]
      .filter(({ key }) => key.startsWith(HISTORY))
      .map(({ key, value }) => [key, value]),
  );
/** Gives one container an address for a second, and returns the address. */
export const live = async (
  world: World,
  node: string,
  id: string,
  cause: ReleaseCause = DEL,
): Promise<string> => {
  const [given] = await allocate(world.ipam, { node, owner: owner(id), families: [4] });
  world.now += 1_000;
  await release(world.ipam, { node, attachment: attachment(id), cause });
  return formatAddress(given?.address ?? assert.fail());
};
export const blueWorld = async (more: Parameters<typeof range>[1] = {}): Promise<World> => {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', cooldownMs: 0, ...more }));
  return world;
};
