import type { Attachment } from '../../ipam/model/attachment.ts';
import { isInForce } from '../../ipam/model/condemnation.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import type { RangedAllocation } from '../../ipam/node/allocations.ts';
import { allocationsOn } from '../../ipam/node/allocations.ts';
import { readNodeBlocks } from '../../ipam/node/node-blocks.ts';
import { checkOwnsName, isOtherMachine } from '../../ipam/node/name-owner.ts';
import { readOwnAllocations, type OwnAllocations } from '../../ipam/node/own-allocations.ts';
import type { Failures } from '../attach/failures.ts';
import { withIpamAt } from '../platform/connections.ts';
import { isOurIpam, isOurInterface, switchOf, type AttachmentRecord } from '../platform/node-records.ts';
import type { HostLink, OpenIpam, Platform } from '../platform/platform.ts';
import type { PortInfo } from '../platform/switch.ts';
import { hostLinkName, linkAlias } from '../protocol/identity.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import { ipamPlaceOf, ipamPlaces, switches, type IpamPlace, type OwnPlace } from './places.ts';
import { bridgesOf, portFaultOf, portStateOf, readPorts, readSwitches, type OurPort } from './ports.ts';
import type { Facts } from './verdict.ts';

/** An address that etcd has allocated, with its range and the place that holds the allocation. */
export interface Held extends RangedAllocation {
  readonly place: IpamPlace;
}

/** An attachment that may be gone, with the data for its teardown. */
export interface Target extends Attachment {
  readonly held: readonly Held[];
  readonly allocationsKnown: boolean;
  /** The Open vSwitch that has its port, or would have it. */
  readonly ovs: SwitchAddress | undefined;
  /** The pod's `namespace/name`, if the ADD received its name. */
  readonly pod: string | undefined;
}

/** Everything known about an attachment. */
export type Known = Facts &
  Target & {
    /** Its port as it is. */
    readonly found: PortInfo | undefined;
    /** The bridge on which its ADD made the port, by its record. */
    readonly home: (SwitchAddress & { readonly bridge: string }) | undefined;
    /** Whether its record names what the ADD set of the port. */
    readonly namesPort: boolean;
    /** The addresses that the port's mark names: those of its ADD, whatever etcd says now. */
    readonly marked: readonly string[];
  };

/**
 * Observes the node once. Reads the records and etcd's allocations before links and ports (rule 6),
 * so that a pod which starts meanwhile never looks like a leak. Reads only this node's blocks, and
 * writes back what lives and etcd has forgotten.
 * @param dryRun true to write nothing back
 * @param failures collects the servers that do not answer; what depends on them is then unknown
 * @throws CniError 5, NetlinkError when records or links cannot be listed: no verdict is possible
 */
export async function survey(
  platform: Platform,
  own: OwnPlace,
  failures: Failures,
  dryRun = false,
): Promise<Known[]> {
  const records = platform.openState(own.stateDir).listAttachments();
  const places = ipamPlaces(own, records);
  const { held, whole, refused } = await readPlaces(platform, places, failures, dryRun);
  const links = await (await platform.openKernel()).hostLinks();
  const { ports, complete } = await readSwitches(platform, switches(own, records), failures);

  const attachments = new Map<string, Attachment>();
  for (const { containerId, ifname } of [...held.map(({ slot }) => slot.owner), ...records, ...ports])
    attachments.set(`${containerId}/${ifname}`, { containerId, ifname });
  const [heldOf, recordOf, portsOf] = [
    grouped(held, ({ slot }) => slot.owner),
    grouped(records, (record) => record),
    grouped(ports, (port) => port),
  ];
  const linkOf = new Map(links.map((link) => [link.name, link]));
  return [...attachments].map(([id, attachment]) => {
    const ofIt = portsOf.get(id) ?? [];
    return assemble(platform, own, attachment, {
      held: heldOf.get(id) ?? [],
      whole,
      refused,
      link: linkOf.get(hostLinkName(attachment)),
      ports: ofIt,
      isInSight: bridgesOf(ofIt).every((bridge) => linkOf.has(bridge)),
      complete,
      record: recordOf.get(id)?.[0],
    });
  });
}

/**
 * Observes the attachment again, except its allocations: the release compares those with etcd. The
 * caller holds the attachment's lock.
 */
export async function lookAgain(platform: Platform, own: OwnPlace, target: Target): Promise<Known> {
  const record = platform.openState(own.stateDir).readAttachment(target);
  const kernel = await platform.openKernel();
  const link = await kernel.hostLink(hostLinkName(target));
  const at = record && !isOurInterface(record) ? undefined : target.ovs;
  const ports = at ? await readPorts(platform, at, target) : [];
  const bridges = await Promise.all(bridgesOf(ports).map((bridge) => kernel.hostLink(bridge)));
  return assemble(platform, own, target, {
    held: target.held,
    whole: target.allocationsKnown,
    // A target's name was this machine's, and the release finds out whether it still is.
    refused: [],
    link,
    ports,
    isInSight: !bridges.includes(undefined),
    complete: true,
    record,
  });
}

interface Pieces {
  readonly held: readonly Held[];
  readonly whole: boolean;
  /** Node names that belong to another machine, with their etcd. */
  readonly refused: readonly IpamPlace[];
  readonly link: HostLink | undefined;
  readonly ports: readonly OurPort[];
  /**
   * Whether the devices of the ports' bridges are among the links. If so, vswitchd's devices are in
   * the network namespace that this survey reads.
   */
  readonly isInSight: boolean;
  /** Whether every Open vSwitch answered. */
  readonly complete: boolean;
  readonly record: AttachmentRecord | undefined;
}

function assemble(platform: Platform, own: OwnPlace, attachment: Attachment, pieces: Pieces): Known {
  const { held, whole, ports, record } = pieces;
  const { containerId, ifname } = attachment;
  const state = platform.openState(own.stateDir);
  const link = linkStateOf(attachment, pieces.link);
  const complete = pieces.complete || (record !== undefined && !isOurInterface(record));
  const port = portStateOf(attachment, ports, { isInSight: pieces.isInSight, complete });
  return {
    containerId,
    ifname,
    allocations: held.map(({ slot: { owner, allocatedAt, condemned } }) => ({
      bootId: owner.bootId,
      allocatedAt,
      isCondemned: isInForce(condemned, platform.now()),
      isTraced: owner.bootId === record?.bootId || state.knowsBoot(owner.bootId),
    })),
    allocationsKnown: whole,
    ownsName: !isRefused(pieces.refused, record),
    link,
    port,
    portFault: portFaultOf(port, ports, record),
    record: record && {
      bootId: record.bootId,
      ourIpam: isOurIpam(record),
      ourInterface: isOurInterface(record),
      namesAddresses: record.allocations !== undefined,
    },
    // A link exists only while the pod's namespace lives, so no check is needed then.
    namespace: link === 'absent' ? namespaceOf(platform, record) : 'lives',
    held,
    ovs: ports[0]?.at ?? switchAt(record, own),
    pod: podOf(held, ports, record),
    found: ports[0]?.info,
    home: record && { ...switchOf(record), bridge: record.bridge },
    namesPort: record?.port !== undefined,
    marked: (ports[0]?.info.externalIds['ip'] ?? '').split(',').filter(Boolean),
  };
}

/** Without a record, the attachment may be of any of the names. */
function isRefused(refused: readonly IpamPlace[], record: AttachmentRecord | undefined): boolean {
  if (!record) return refused.length > 0;
  const own = JSON.stringify(ipamPlaceOf(record));
  return isOurIpam(record) && refused.some((place) => JSON.stringify(place) === own);
}

/** Returns undefined when cellnet made no port for the attachment. */
function switchAt(record: AttachmentRecord | undefined, own: OwnPlace): SwitchAddress | undefined {
  if (!record) return own.ovs;
  return isOurInterface(record) ? switchOf(record) : undefined;
}

/**
 * A link without an alias is also cellnet's: its ADD was killed before it set the alias, and the
 * name is a hash of this very attachment.
 */
function linkStateOf(attachment: Attachment, link: HostLink | undefined): Facts['link'] {
  if (!link || (link.alias !== '' && link.alias !== linkAlias(attachment))) return 'absent';
  return link.carrier ? 'carrier' : 'idle';
}

function namespaceOf(platform: Platform, record: AttachmentRecord | undefined): Facts['namespace'] {
  if (!record?.netns) return 'unknown';
  const { path, id } = record.netns;
  // Without cellnet's link nothing uses the address, even if the namespace still has processes. An
  // interface of another plugin may still be up, so its namespace needs the thorough check.
  return platform.namespaces.stateOf(path, id, !isOurInterface(record));
}

function podOf(
  [held]: readonly Held[],
  [port]: readonly OurPort[],
  record: AttachmentRecord | undefined,
): string | undefined {
  const marks = port?.info.externalIds ?? {};
  const namespace = held?.slot.owner.podNamespace ?? marks['pod-namespace'] ?? record?.podNamespace;
  const name = held?.slot.owner.podName ?? marks['pod-name'] ?? record?.podName;
  return name === undefined ? undefined : `${namespace ?? ''}/${name}`;
}

async function readPlaces(
  platform: Platform,
  places: readonly IpamPlace[],
  failures: Failures,
  dryRun: boolean,
): Promise<{ held: Held[]; whole: boolean; refused: readonly IpamPlace[] }> {
  const refused: IpamPlace[] = [];
  const reads = places.map((place) =>
    failures.attempt(`allocations of node '${place.node}'`, () =>
      withIpamAt(platform, place.etcd, async (ipam) => {
        const read = await readAllocations(ipam, place.node, dryRun).catch((error: unknown) => {
          if (isOtherMachine(error)) refused.push(place);
          throw error;
        });
        const { allocations, unreadable } = read;
        return { unreadable, held: allocations.map((each) => ({ ...each, place })) };
      }),
    ),
  );
  const found = await Promise.all(reads);
  for (const { reason } of found.flatMap((each) => each?.unreadable ?? [])) {
    const error = new IpamError('corrupt-record', reason);
    await failures.attempt('allocations', () => Promise.reject(error));
  }
  return {
    held: found.flatMap((each) => each?.held ?? []),
    whole: found.every((each) => each?.unreadable.length === 0),
    refused,
  };
}

async function readAllocations(ipam: OpenIpam, node: string, dryRun: boolean): Promise<OwnAllocations> {
  if (!dryRun) return await readOwnAllocations(ipam, node);
  const blocks = await readNodeBlocks(ipam.store, node);
  checkOwnsName(node, blocks.machine?.record, ipam.local.machine);
  return { allocations: allocationsOn(node, blocks), unreadable: blocks.unreadable };
}

function grouped<T>(all: readonly T[], of: (each: T) => Attachment): ReadonlyMap<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const each of all) {
    const { containerId, ifname } = of(each);
    const id = `${containerId}/${ifname}`;
    groups.set(id, [...(groups.get(id) ?? []), each]);
  }
  return groups;
}
