import { addRule } from '../../ipam/rules/rules.ts';
import { put } from '../../ipam/records/transaction.ts';
import { encodeSample, sampleKey, type UsageSample } from '../../ipam/records/usage-record.ts';
import { CliWorld } from '../golden/world.ts';
import { owns } from '../unit/ipam/pods.ts';

const HOUR_MS = 3_600_000;

/** Blue takes 24 addresses and 2 blocks a day more, a third of them for the namespace `ci`. */
function sampleOf(at: number, hoursAgo: number): UsageSample {
  const used = 400 - hoursAgo;
  const blocks = 30 - Math.floor(hoursAgo / 12);
  return {
    at,
    ranges: new Map([
      ['blue', { cidr: '10.20.0.0/22', used, kept: 0, blocks }],
      ['six', { cidr: 'fd00:20::/64', used: 1, kept: 0, blocks: 1 }],
    ]),
    rules: new Map(),
    namespaces: new Map([
      ['shop', { 4: 100, 6: 1 }],
      ['ci', { 4: 100 - Math.floor(hoursAgo / 3), 6: 0 }],
    ]),
  };
}

/** The usual cluster with a sample for each of the hours until now. */
export async function sampled(hours: number): Promise<CliWorld> {
  const world = await CliWorld.make();
  const { ipam, store, now } = world.ipam;
  await addRule(ipam, owns('web'));
  for (let ago = 0; ago < hours; ago++) {
    const at = now - ago * HOUR_MS;
    await store.commit([], [put(sampleKey(at), encodeSample(sampleOf(at, ago)))]);
  }
  return world;
}
