import { messageOf } from '../../ipam/model/errors.ts';
import type { Failures } from '../attach/failures.ts';
import { attachLostPort } from '../attach/lost-port.ts';
import { portOfRecord } from '../attach/recorded-port.ts';
import { withSwitch } from '../platform/connections.ts';
import { switchOf } from '../platform/node-records.ts';
import type { Platform, Unlock } from '../platform/platform.ts';
import type { PortSpec } from '../platform/switch.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import type { OwnPlace } from './places.ts';
import { lookAgain, type Known } from './survey.ts';
import { judge, type PortFault } from './verdict.ts';

export type Repair =
  /** The port forwards again. */
  | { readonly outcome: 'repaired' }
  /** A dry run would repair it. */
  | { readonly outcome: 'found' }
  /** The second look finds nothing wrong, or a call works on the attachment: it makes the port. */
  | { readonly outcome: 'changed' }
  /** Nothing tells the VLAN of the port. */
  | { readonly outcome: 'kept' }
  | { readonly outcome: 'failed'; readonly error: string };

/** What a repair needs beside what the second look finds. */
interface Wanted {
  readonly at: SwitchAddress;
  readonly port: PortSpec;
  readonly fault: PortFault;
}

/**
 * Makes the port of a living attachment again, as its ADD made it. An ADD or DEL under way lacks
 * its port lawfully, and holds the attachment's lock: so one look under that lock is proof. Never
 * throws.
 */
export async function repair(
  platform: Platform,
  own: OwnPlace,
  target: Known,
  dryRun: boolean,
): Promise<Repair> {
  const { containerId, ifname, pod = '' } = target;
  let unlock: Unlock | undefined;
  try {
    unlock = platform.tryLock(own.stateDir, target);
    const wanted = unlock && (await lookUnderLock(platform, own, target));
    if (!wanted || wanted === 'unknown') return { outcome: wanted ? 'kept' : 'changed' };
    if (dryRun) return { outcome: 'found' };
    const { at, port, fault } = wanted;
    await attachLostPort(platform, at, target, port);
    const fields = { containerId, ifname, pod, reason: fault, bridge: port.bridge, port: port.name };
    platform.log.warn('made the port of a running pod again', fields);
    return { outcome: 'repaired' };
  } catch (error) {
    const fields = { containerId, ifname, pod, reason: messageOf(error) };
    platform.log.warn('the port of a running pod cannot be made again now', fields);
    return { outcome: 'failed', error: messageOf(error) };
  } finally {
    unlock?.();
  }
}

/** Returns undefined when nothing is to be repaired, and `unknown` when nothing tells how. */
async function lookUnderLock(
  platform: Platform,
  own: OwnPlace,
  target: Known,
): Promise<Wanted | 'unknown' | undefined> {
  const state = platform.openState(own.stateDir);
  const now = await lookAgain(platform, own, target);
  const verdict = judge(now, { id: platform.bootId, startedAt: platform.bootedAt() });
  const record = state.readAttachment(target);
  // A deferred teardown ends the attachment when its servers answer.
  if (verdict.kind !== 'broken' || !record || state.readPending(target)) return undefined;
  const held = [...now.held].sort((a, b) => a.address.family - b.address.family);
  const port = portOfRecord(
    record,
    now.found,
    held.map(({ range }) => range),
  );
  return port ? { at: switchOf(record), port, fault: verdict.reason } : 'unknown';
}

/** Identifies the bridge that the attachment's port belongs to. */
const bridgeOf = ({ home }: Known): string => JSON.stringify(home);

/**
 * Finds bridges that are away, so that reconcile tells each of them once, however many pods lack
 * their port because of it.
 * @param broken attachments whose port is to be made again
 * @returns tells why the port of an attachment has to wait; undefined when it has not
 */
export async function findAbsentBridges(
  platform: Platform,
  broken: readonly Known[],
  failures: Failures,
): Promise<(known: Known) => string | undefined> {
  const absent = new Map<string, string>();
  const bridges = new Map(broken.map((known) => [bridgeOf(known), known.home]));
  for (const [id, home] of bridges) {
    if (!home) continue;
    const { bridge, ...at } = home;
    const info = await failures.attempt(`bridge '${bridge}'`, () =>
      withSwitch(platform, at, async (ovs) => (await ovs.inspectBridge(bridge)) ?? 'absent'),
    );
    if (info !== 'absent') continue;
    const what = `bridge '${bridge}' does not exist in Open vSwitch at ${at.ovsdb}: pods have no port until it is made (cnictl node init)`;
    absent.set(id, what);
    await failures.attempt('ports', () => Promise.reject(new Error(what)));
  }
  return (known) => absent.get(bridgeOf(known));
}
