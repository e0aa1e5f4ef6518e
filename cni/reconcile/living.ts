import { parseAddressInSubnet } from '../../ipam/model/address.ts';
import type { Attachment } from '../../ipam/model/attachment.ts';
import type { CarriedAddress, LivingCarriers } from '../../ipam/node/local-node.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import { isOurInterface, isOurIpam, type AttachmentRecord } from '../platform/node-records.ts';
import type { HostLink, Platform, Unlock } from '../platform/platform.ts';
import { hostLinkName, linkAlias } from '../protocol/identity.ts';

type Pieces = Pick<Platform, 'openState' | 'openKernel' | 'namespaces' | 'tryLock'>;

/**
 * Returns those of the addresses whose attachment is alive: its link carries packets, or, where
 * another main plugin made the interface, its namespace lives. It keeps their locks, so that no DEL
 * ends one of them before the caller is done. It leaves out attachments that a call works on.
 * @param etcd the cluster that must have the allocations
 * @param holders attachments whose lock the caller holds
 */
export async function livingCarriers(
  platform: Pieces,
  stateDir: string,
  etcd: EtcdSettings,
  addresses: readonly string[],
  holders: readonly Attachment[],
): Promise<LivingCarriers> {
  const state = platform.openState(stateDir);
  const records = new Map<string, AttachmentRecord>();
  for (const address of addresses) {
    const record = state.carrierOf(address);
    if (record && isOurIpam(record) && isOfCluster(record, etcd)) records.set(idOf(record), record);
  }
  const links = await linksOf(platform, [...records.values()].filter(isOurInterface));
  const unlocks: Unlock[] = [];
  const carriers = [...records.values()]
    .filter((record) => isAlive(platform, record, links.get(hostLinkName(record))))
    .filter((record) => {
      if (holders.some((holder) => idOf(holder) === idOf(record))) return true;
      const unlock = platform.tryLock(stateDir, record);
      if (unlock) unlocks.push(unlock);
      return unlock !== undefined;
    })
    .flatMap(carriedOf);
  return { carriers, unlock: () => unlocks.forEach((unlock) => unlock()) };
}

/**
 * Returns whether an attachment other than the owner uses the address, by the node's records. One
 * whose link or namespace is gone does not, and its entry goes too.
 */
export async function isUsedByOther(
  platform: Pieces,
  stateDir: string,
  address: string,
  owner: Attachment,
): Promise<boolean> {
  const state = platform.openState(stateDir);
  if (!state.isCarriedByOther(address, owner)) return false;
  const record = state.carrierOf(address);
  // A record that cannot be read proves nothing.
  if (!record) return true;
  if (isOurInterface(record)) {
    const link = await (await platform.openKernel()).hostLink(hostLinkName(record));
    // An ADD that has not marked its link yet uses the address too.
    if (link && (link.alias === '' || link.alias === linkAlias(record))) return true;
  } else if (isNamespaceAlive(platform, record)) return true;
  state.uncarry(record);
  return false;
}

const idOf = ({ containerId, ifname }: Attachment): string => `${containerId}/${ifname}`;

/** Another endpoint of the same cluster may have been configured since the ADD. */
function isOfCluster({ etcd }: AttachmentRecord, { endpoints, prefix }: EtcdSettings): boolean {
  return etcd.prefix === prefix && (etcd.endpoints ?? []).some((each) => endpoints.includes(each));
}

/** Number of links up to which asking for each is cheaper than listing all links of the host. */
const FEW = 8;

async function linksOf(
  platform: Pieces,
  records: readonly AttachmentRecord[],
): Promise<ReadonlyMap<string, HostLink>> {
  if (records.length === 0) return new Map();
  const kernel = await platform.openKernel();
  const links =
    records.length > FEW
      ? await kernel.hostLinks()
      : (await Promise.all(records.map((record) => kernel.hostLink(hostLinkName(record))))).filter(
          (link) => link !== undefined,
        );
  return new Map(links.map((link) => [link.name, link]));
}

function isAlive(platform: Pieces, record: AttachmentRecord, link: HostLink | undefined): boolean {
  if (isOurInterface(record)) return link?.alias === linkAlias(record) && link.carrier;
  return record.netns !== undefined && isNamespaceAlive(platform, record);
}

/** A record without a namespace proves nothing, so the namespace counts as alive. */
function isNamespaceAlive(platform: Pieces, { netns }: AttachmentRecord): boolean {
  return netns === undefined || platform.namespaces.stateOf(netns.path, netns.id, true) === 'lives';
}

function carriedOf(record: AttachmentRecord): CarriedAddress[] {
  const { containerId, ifname, network, bootId = 'unknown', podNamespace, podName, podUid } = record;
  const owner = {
    containerId,
    ifname,
    network,
    bootId,
    ...(podNamespace !== undefined && { podNamespace }),
    ...(podName !== undefined && { podName }),
    ...(podUid !== undefined && { podUid }),
  };
  return (record.allocations ?? []).map(({ address: text, range, rule, allocatedAt }) => {
    const { address, prefixLength } = parseAddressInSubnet(text);
    return {
      ...{ address, prefixLength, range, owner, allocatedAt, mac: record.mac ?? 'unknown' },
      ...(rule !== undefined && { rule }),
    };
  });
}
