import { formatAddress } from '../../ipam/model/address.ts';
import { slotAddress } from '../../ipam/model/block.ts';
import { isSamePod, podInterfaceOf } from '../../ipam/model/keep.ts';
import { keptSlots } from '../../ipam/model/kept-slot.ts';
import { KEPT } from '../../ipam/records/kept-record.ts';
import { OWN } from '../../ipam/records/own-record.ts';
import { BLOCKS, blockKey } from '../../ipam/records/keys.ts';
import { keptDisagreements, roomDisagreements } from '../../ipam/audit/kept-audit.ts';
import type { Fault, Scene } from './acts.ts';
import type { BlockReader, ChangedAllocation } from './changes.ts';
import type { Commit } from './etcd.ts';
import type { Violation } from './invariants.ts';
import { ENDINGS } from './kubelet.ts';
import type { Random } from './random.ts';
import type { Setup } from './setup.ts';

/** What the rule of a story says, beside its pods. */
const TERMS = ['--keep forever', '--keep forever', '--keep 20s', '--keep forever --any-pod'];
/** Between the end of a pod and the start of the next one under its name, in milliseconds. */
const GAPS_MS = [0, 50, 2_000, 20_000];

/**
 * Returns what happens to pods that are made again under their names, on any machine, in a story
 * with a rule that keeps their addresses: as those of a StatefulSet, deleted properly, by force, or
 * both at once.
 */
export function keepScenes(
  random: Random,
  { keeps, machines }: Setup,
  scenes: readonly Scene[],
  faults: readonly Fault[],
): Scene[] {
  if (!keeps) return [];
  const endsAt = Math.max(20_000, scenes.at(-1)?.at ?? 0);
  const first = Math.max(0, ...scenes.map(({ id }) => id)) + 1;
  const made: Scene[] = [];
  const put = (at: number, act: Scene['act']): void =>
    void made.push({ id: first + made.length, at: Math.round(at), act });
  const add = `rule add keep --namespace shop --pod db* ${random.pick(TERMS)}`;
  put(random.chance(0.7) ? 0 : random.between(0, endsAt), { do: 'cnictl', argv: add });
  if (random.chance(0.3)) {
    const at = random.between(0, endsAt);
    put(at, { do: 'cnictl', argv: 'rule remove keep --ignore-not-found' });
    put(random.between(at, endsAt), { do: 'cnictl', argv: add });
  }
  for (let n = 1 + random.below(3); n > 0; n--) {
    const pod = `db${n}`;
    let at = random.between(1_000, 5_000);
    for (let generation = 1; at < endsAt && generation < 8; generation++) {
      put(at, { do: 'start', machine: random.pick(machines), pod, generation });
      at += random.between(500, endsAt / 3);
      const gap = random.pick(GAPS_MS);
      const ending = faults.includes('del') && random.chance(0.4) ? random.pick(ENDINGS) : 'del';
      // By force: the API server forgets it while it runs.
      if (faults.includes('forget') && random.chance(0.3)) put(at, { do: 'forget-pod', pod });
      else put(at, { do: 'stop', pod, ending });
      at += gap;
    }
  }
  return made;
}

/** Returns the address that was kept for one pod and given to another. */
export function keptGiven(
  { before }: Commit,
  given: readonly ChangedAllocation[],
  reader: BlockReader,
): Violation | undefined {
  for (const { address, block, slot } of given) {
    const was = reader.read(before, blockKey(block.range, block.cidr));
    const kept =
      was && keptSlots(was).find(({ index }) => formatAddress(slotAddress(was, index)) === address);
    // One that ends is judged by a clock that a fault may have set.
    if (!kept || kept.slot.keep.forMs !== undefined) continue;
    const pod = podInterfaceOf(slot.owner);
    const isOwn = kept.slot.keep.anyPod
      ? slot.keep?.rule === kept.slot.keep.rule
      : pod && isSamePod(pod, kept.slot.pod);
    if (isOwn) continue;
    const { containerId } = slot.owner;
    return {
      kind: 'kept-given',
      text: `${address} is kept for pod ${kept.slot.pod.name}, and was given to ${containerId}`,
      about: [address, containerId],
    };
  }
  return undefined;
}

/** Returns how the blocks and the keys that follow from them disagree after a transaction. */
export function keptKeysDisagree({ after, writes }: Commit, reader: BlockReader): Violation | undefined {
  if (!writes.some(({ key }) => [BLOCKS, KEPT, OWN].some((part) => key.startsWith(part)))) return undefined;
  const blocks = reader.all(after);
  const [text] = [
    ...keptDisagreements(blocks, after.below(KEPT)),
    ...roomDisagreements(blocks, after.below(OWN)),
  ];
  return text === undefined ? undefined : { kind: 'kept-keys', text, about: [] };
}
