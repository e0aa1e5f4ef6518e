import type { Attachment } from '../../ipam/model/attachment.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import { allocationsOf, type SeenAllocation } from '../../ipam/node/allocations.ts';
import { readNodeBlocks } from '../../ipam/node/node-blocks.ts';
import type { Failures } from '../attach/failures.ts';
import { withIpamAt, withSwitch } from '../platform/connections.ts';
import { isOurIpam, isOurWire, switchOf, type AttachmentRecord } from '../platform/node-records.ts';
import type { HostLink, Platform, PortInfo } from '../platform/platform.ts';
import { hostLinkName, linkAlias } from '../protocol/identity.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import { ipamPlaces, switches, type IpamPlace, type OwnPlace } from './places.ts';
import type { Facts } from './verdict.ts';

/** An address that etcd has given out, and where it says so. */
export interface Held extends SeenAllocation {
  readonly place: IpamPlace;
}

/** An attachment that may be gone, with what a teardown of it needs. */
export interface Target extends Attachment {
  readonly held: readonly Held[];
  readonly allocationsKnown: boolean;
  /** Where its port is, or would be. */
  readonly ovs: SwitchAddress | undefined;
  /** Namespace and name, where the ADD was told. */
  readonly pod: string | undefined;
}

/** All that is known of it. */
export type Known = Facts & Target;

/**
 * One observation of the node: what etcd has given out first, then what is there (rule 6), so that a pod which starts
 * meanwhile is never taken for a leak. Only this node's blocks are read.
 * @param failures is told which server did not answer: what rests on it is then unknown
 * @throws CniError 5, NetlinkError where records or links cannot be listed: nothing can be said then
 */
export async function survey(platform: Platform, own: OwnPlace, failures: Failures): Promise<Known[]> {
  const records = platform.openState(own.stateDir).listAttachments();
  const { held, whole } = await readPlaces(platform, ipamPlaces(own, records), failures);
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
      link: linkOf.get(hostLinkName(attachment)),
      ports: ofIt,
      isInSight: bridgesOf(ofIt).every((bridge) => linkOf.has(bridge)),
      complete,
      record: recordOf.get(id)?.[0],
    });
  });
}

/** The same attachment once more, under its lock: what etcd has for it is compared when it is released. */
export async function lookAgain(platform: Platform, own: OwnPlace, target: Target): Promise<Known> {
  const record = platform.openState(own.stateDir).readAttachment(target);
  const kernel = await platform.openKernel();
  const link = await kernel.hostLink(hostLinkName(target));
  const at = record && !isOurWire(record) ? undefined : target.ovs;
  const ports = at
    ? await withSwitch(platform, at, (ovs) => ovs.findPorts(target.containerId, target.ifname))
    : [];
  const found = ports.map((info) => ({ ...attachmentOf(info), info, at }));
  const bridges = await Promise.all(bridgesOf(found).map((bridge) => kernel.hostLink(bridge)));
  return assemble(platform, own, target, {
    held: target.held,
    whole: target.allocationsKnown,
    link,
    ports: found,
    isInSight: !bridges.includes(undefined),
    complete: true,
    record,
  });
}

/** The names of their bridges, which are those of the bridges' own devices too; '' for one on no bridge. */
const bridgesOf = (ports: readonly OurPort[]): string[] => ports.map(({ info }) => info.bridge ?? '');

interface OurPort extends Attachment {
  readonly info: PortInfo;
  readonly at: SwitchAddress | undefined;
}

interface Pieces {
  readonly held: readonly Held[];
  readonly whole: boolean;
  readonly link: HostLink | undefined;
  readonly ports: readonly OurPort[];
  /** Whether their bridges' own devices are among the links: then vswitchd has its devices where we look for them. */
  readonly isInSight: boolean;
  /** Whether every Open vSwitch answered. */
  readonly complete: boolean;
  readonly record: AttachmentRecord | undefined;
}

function assemble(platform: Platform, own: OwnPlace, attachment: Attachment, pieces: Pieces): Known {
  const { held, whole, ports, record } = pieces;
  const { containerId, ifname } = attachment;
  const link = linkStateOf(attachment, pieces.link);
  const complete = pieces.complete || (record !== undefined && !isOurWire(record));
  return {
    containerId,
    ifname,
    allocations: held.map(({ slot }) => ({ bootId: slot.owner.bootId, allocatedAt: slot.allocatedAt })),
    allocationsKnown: whole,
    link,
    port: portStateOf(attachment, ports, { isInSight: pieces.isInSight, complete }),
    record: record && { bootId: record.bootId, ourIpam: isOurIpam(record), ourWire: isOurWire(record) },
    // A link is of a namespace that lives: then there is no need to look.
    namespace: link === 'absent' ? namespaceOf(platform, record) : 'lives',
    held,
    ovs: ports[0]?.at ?? wireAt(record, own),
    pod: podOf(held, ports),
  };
}

/** Undefined where there is no port of ours. */
function wireAt(record: AttachmentRecord | undefined, own: OwnPlace): SwitchAddress | undefined {
  if (!record) return own.ovs;
  return isOurWire(record) ? switchOf(record) : undefined;
}

/** One without any mark is ours too: its maker was killed before it marked it, and the name is a hash of just this attachment. */
function linkStateOf(attachment: Attachment, link: HostLink | undefined): Facts['link'] {
  if (!link || (link.alias !== '' && link.alias !== linkAlias(attachment))) return 'absent';
  return link.carrier ? 'carrier' : 'idle';
}

/** A port of another name that carries our marks is nothing that we made: it keeps all of them from being swept. */
function portStateOf(
  attachment: Attachment,
  ports: readonly OurPort[],
  { isInSight, complete }: { readonly isInSight: boolean; readonly complete: boolean },
): Facts['port'] {
  if (ports.length === 0) return complete ? 'absent' : 'unknown';
  const name = hostLinkName(attachment);
  return isInSight && ports.every(({ info }) => info.name === name) ? 'present' : 'elsewhere';
}

function namespaceOf(platform: Platform, record: AttachmentRecord | undefined): Facts['namespace'] {
  if (!record?.netns) return 'unknown';
  const { path, id } = record.netns;
  // With our link gone nobody uses the address, whoever still lives in there; another plugin's interface may still be up.
  return platform.namespaces.stateOf(path, id, !isOurWire(record));
}

function podOf([held]: readonly Held[], [port]: readonly OurPort[]): string | undefined {
  const marks = port?.info.externalIds ?? {};
  const namespace = held?.slot.owner.podNamespace ?? marks['pod-namespace'];
  const name = held?.slot.owner.podName ?? marks['pod-name'];
  return name === undefined ? undefined : `${namespace ?? ''}/${name}`;
}

async function readPlaces(
  platform: Platform,
  places: readonly IpamPlace[],
  failures: Failures,
): Promise<{ held: Held[]; whole: boolean }> {
  const reads = places.map((place) =>
    failures.attempt(`allocations of node '${place.node}'`, () =>
      withIpamAt(platform, place.etcd, async ({ store, observer }) => {
        const { blocks, strays } = await readNodeBlocks(store, place.node);
        observer.holds(place.node, blocks);
        return { strays, held: allocationsOf(blocks).map((seen) => ({ ...seen, place })) };
      }),
    ),
  );
  const found = await Promise.all(reads);
  for (const stray of found.flatMap((each) => each?.strays ?? [])) {
    const error = new IpamError(
      'corrupt-record',
      `etcd key '${stray}' is of a range that etcd does not hold`,
    );
    await failures.attempt('allocations', () => Promise.reject(error));
  }
  return {
    held: found.flatMap((each) => each?.held ?? []),
    whole: found.every((each) => each?.strays.length === 0),
  };
}

async function readSwitches(
  platform: Platform,
  places: readonly SwitchAddress[],
  failures: Failures,
): Promise<{ ports: OurPort[]; complete: boolean }> {
  const reads = places.map((at) =>
    failures.attempt(`ports at ${at.ovsdb}`, async () => {
      const ports = await withSwitch(platform, at, (ovs) => ovs.findPorts());
      return ports.map((info) => ({ ...attachmentOf(info), info, at }));
    }),
  );
  const found = await Promise.all(reads);
  const ports = found.flatMap((each) => each ?? []).filter(({ containerId }) => containerId !== '');
  return { ports, complete: !found.includes(undefined) };
}

function attachmentOf({ externalIds }: PortInfo): Attachment {
  const { 'container-id': containerId = '', ifname = '' } = externalIds;
  return { containerId, ifname };
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
