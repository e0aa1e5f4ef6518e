import { lookup } from '../../ipam/allocate/allocate.ts';
import { formatAddress } from '../../ipam/model/address.ts';
import { isInForce, type Condemnation } from '../../ipam/model/condemnation.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { ReleaseCause } from '../../ipam/model/lifetime.ts';
import { release } from '../../ipam/release/release.ts';
import { tearDownAttachment } from '../attach/teardown.ts';
import { lookOnWire, wireSideOf } from '../attach/wire-look.ts';
import { withIpamAt } from '../platform/connections.ts';
import { isOurIpam } from '../platform/node-records.ts';
import type { Platform, SweptKind, Unlock } from '../platform/platform.ts';
import { stepsOf } from '../platform/steps.ts';
import { ipamPlaceOf, type OwnPlace } from './places.ts';
import { lookAgain, type Held, type Known, type Target } from './survey.ts';
import { judge, type RemainsReason } from './verdict.ts';

export type Clearing =
  | {
      readonly outcome: 'cleared';
      readonly released: readonly string[];
      readonly swept: readonly SweptKind[];
    }
  /** Another call holds the attachment's lock and handles the attachment. */
  | { readonly outcome: 'busy' }
  /** The second look no longer finds remains, or finds a new allocation. */
  | { readonly outcome: 'changed' }
  /** A host answers for an address on the wire. */
  | { readonly outcome: 'kept' }
  | { readonly outcome: 'failed'; readonly error: string };

/**
 * Clears the remains of one attachment. Takes the lock that calls for the attachment take, observes
 * it again, then proceeds in the order of DEL. A failed step prevents the later ones. Never throws.
 * @param reason for logs and history; the second look must find remains too, for any reason
 */
export async function clear(
  platform: Platform,
  own: OwnPlace,
  target: Target,
  reason: RemainsReason | 'superseded',
): Promise<Clearing> {
  const { containerId, ifname, pod = '' } = target;
  const fields = { containerId, ifname, pod, reason };
  let unlock: Unlock | undefined;
  try {
    unlock = platform.tryLock(own.stateDir, target);
    if (!unlock) return { outcome: 'busy' };
    const clearing = await clearLocked(platform, own, target, causeOf(reason, target));
    if (clearing.outcome !== 'cleared') return clearing;
    const { released, swept } = clearing;
    if (released.length > 0)
      platform.log.warn('released what had leaked', { ...fields, ips: released, swept });
    else platform.log.info('swept what was left', { ...fields, swept });
    platform.onCleared?.({ reason, released, swept });
    return clearing;
  } catch (error) {
    platform.log.warn('what is left cannot be cleared away now', { ...fields, reason: messageOf(error) });
    return { outcome: 'failed', error: messageOf(error) };
  } finally {
    unlock?.();
  }
}

/** Returns the cause for the history of the addresses. */
function causeOf(reason: RemainsReason | 'superseded', { held }: Target): ReleaseCause {
  if (reason === 'superseded') return { why: 'superseded' };
  const [sentence] = held.flatMap(({ slot }) => slot.condemned ?? []);
  if (reason === 'condemned') return { why: 'leaked', detail: sentence?.reason ?? reason, ...by(sentence) };
  return reason === 'node-rebooted' ? { why: 'reboot' } : { why: 'reconcile', detail: reason };
}

const by = (sentence: Condemnation | undefined): { by?: string } => (sentence ? { by: sentence.by } : {});

async function clearLocked(
  platform: Platform,
  own: OwnPlace,
  target: Target,
  cause: ReleaseCause,
): Promise<Clearing> {
  const now = await lookAgain(platform, own, target);
  const verdict = judge(now, { id: platform.bootId, startedAt: platform.bootedAt() });
  if (verdict.kind !== 'remains' || (await wasGivenMeanwhile(platform, own, now)))
    return { outcome: 'changed' };
  if (verdict.reason === 'condemned' && !(await isStillCondemned(platform, now)))
    return { outcome: 'changed' };
  const isUntraced = !verdict.atOnce && ['node-rebooted', 'condemned'].includes(verdict.reason);
  if (isUntraced && (await mayBeInUse(platform, own, now, verdict.reason))) return { outcome: 'kept' };
  const released: string[] = [];
  const forget = now.record?.ourIpam ?? false;
  await tearDownAttachment(platform, stepsOf(platform.onStep, 'RECONCILE'), {
    attachment: now,
    stateDir: own.stateDir,
    link: now.link !== 'absent',
    port: now.port === 'absent' ? undefined : now.ovs,
    forget,
    release: async () => {
      for (const [place, held] of byPlace(now.held)) {
        released.push(
          ...(await withIpamAt(platform, place.etcd, (ipam) =>
            release(ipam, { node: place.node, allocations: held, cause }),
          )),
        );
      }
    },
  });
  const swept: SweptKind[] = [
    ...(now.port === 'absent' ? [] : ['port' as const]),
    ...(now.link === 'absent' ? [] : ['link' as const]),
    ...(forget ? ['record' as const] : []),
  ];
  return { outcome: 'cleared', released, swept };
}

/**
 * Reads etcd again when the survey found no allocation: an ADD may have allocated since, because it
 * can set up the link before etcd commits the allocation.
 */
async function wasGivenMeanwhile(platform: Platform, { stateDir }: OwnPlace, known: Known): Promise<boolean> {
  if (known.held.length > 0) return false;
  const record = platform.openState(stateDir).readAttachment(known);
  if (!record || !isOurIpam(record)) return false;
  const place = ipamPlaceOf(record);
  const found = await withIpamAt(platform, place.etcd, (ipam) => lookup(ipam, place.node, known));
  return found.length > 0;
}

/** Reads etcd again: an ADD of the attachment since the survey has taken the sentence off. */
async function isStillCondemned(platform: Platform, { containerId, ifname, held }: Known): Promise<boolean> {
  for (const [place] of byPlace(held)) {
    const now = await withIpamAt(platform, place.etcd, (ipam) =>
      lookup(ipam, place.node, { containerId, ifname }),
    );
    if (now.some(({ slot }) => isInForce(slot.condemned, platform.now()))) return true;
  }
  return false;
}

/**
 * Asks the wire for addresses of which nothing on this machine shows an interface: another machine
 * may have this name and live, or another main plugin may have made the interface. Leaves out those
 * that another attachment of this node uses: its answer tells nothing. Without a bridge that leads
 * there nobody is asked; on a node without Open vSwitch, what this boot assigned may then be in
 * use.
 */
async function mayBeInUse(
  platform: Platform,
  { ovs, bridge, stateDir }: OwnPlace,
  known: Known,
  reason: RemainsReason,
): Promise<boolean> {
  const { held, pod = '' } = known;
  const [first] = held;
  if (!ovs)
    return reason === 'condemned' && known.allocations.some(({ bootId }) => bootId === platform.bootId);
  const side = first && (await wireSideOf(platform, ovs, first.range.vlan, bridge));
  const state = platform.openState(stateDir);
  const asked = held
    .map(({ address }) => formatAddress(address))
    .filter((ip) => !state.isCarriedByOther(ip, known));
  if (!side || asked.length === 0) return false;
  const answers = await lookOnWire(platform, side, asked);
  for (const [ip, mac] of answers)
    platform.log.warn('an address of which nothing is known here is answered on the wire: kept', {
      ip,
      mac,
      pod,
    });
  return answers.size > 0;
}

function byPlace(held: readonly Held[]): Map<Held['place'], Held[]> {
  const groups = new Map<Held['place'], Held[]>();
  for (const each of held) groups.set(each.place, [...(groups.get(each.place) ?? []), each]);
  return groups;
}
