import * as v from 'valibot';
import { isAttachment, type Attachment } from '../../ipam/model/attachment.ts';
import { allocationsOn, type SeenAllocation } from '../../ipam/node/allocations.ts';
import { checkOwnsName } from '../../ipam/node/name-owner.ts';
import { readNodeBlocks } from '../../ipam/node/node-blocks.ts';
import { decodeValue } from '../../ipam/records/decode.ts';
import { release } from '../../ipam/release/release.ts';
import { delegate, delegateDel } from '../address/delegate.ts';
import { withIpam } from '../address/ipam.ts';
import { Failures } from '../attach/failures.ts';
import { tearDownAttachment } from '../attach/teardown.ts';
import { finishDeferred } from '../deferred/deferred.ts';
import { withSwitch } from '../platform/connections.ts';
import { isOurIpam } from '../platform/node-records.ts';
import type { Platform } from '../platform/platform.ts';
import { stepsOf } from '../platform/steps.ts';
import type { Call } from '../protocol/call.ts';
import { OUR_IPAM } from '../protocol/config-schema.ts';
import { CniError } from '../protocol/errors.ts';

const attachments = v.array(v.looseObject({ containerID: v.string(), ifname: v.string() }));
/** The name of the key in SPEC.md, and its name in the release tag of 1.1.0. */
const KEYS = ['cni.dev/valid-attachments', 'cni.dev/attachments'] as const;

/** An attachment of this network, with its allocations in etcd, by the name of their node. */
interface Known extends Attachment {
  readonly allocations: Map<string, SeenAllocation[]>;
}

/**
 * GC (CNI SPEC 1.1.0 section 4): removes all attachments of this network on this node that are not
 * valid: ports and links with our mark, allocations and records, in the order of DEL (rule 8). GC
 * continues past failures.
 * @throws CniError 7 without the list of valid attachments, before GC removes anything; 5 naming
 *   every failure
 */
export async function gc(call: Call, platform: Platform, plugin: 'cellnet' | 'cellnet-ipam'): Promise<void> {
  const valid = validAttachments(call);
  const failures = new Failures();
  for (const known of await gather(call, platform, plugin, failures)) {
    const id = idOf(known);
    if (valid.has(id)) continue;
    await failures.attempt(`attachment ${id}`, async () => {
      const unlock = await platform.lock(call.settings.stateDir, known);
      try {
        await remove(call, platform, plugin, known);
      } finally {
        unlock();
      }
    });
  }
  const { ipamType } = call.config;
  if (ipamType !== undefined && ipamType !== OUR_IPAM) {
    await failures.attempt(`IPAM plugin '${ipamType}'`, () => forward(call, platform, ipamType));
  }
  await failures.attempt('teardowns put off', () => finishDeferred(call, platform));
  if (failures.texts.length > 0)
    throw new CniError('io-failure', `GC of network '${call.config.name}': ${failures.texts.join('; ')}`);
}

const idOf = ({ containerId, ifname }: Attachment): string => `${containerId}/${ifname}`;

/**
 * Reads the list of either name. If a runtime sends both, what one of them names is valid. A
 * runtime in Go writes an empty list as null.
 */
function validAttachments({ config }: Call): ReadonlySet<string> {
  const keys = KEYS.filter((each) => config.raw[each] !== undefined);
  if (keys.length === 0)
    throw new CniError('invalid-config', `GC needs key '${KEYS[0]}': the attachments that are still valid`);
  return new Set(keys.flatMap((key) => readAttachments(key, config.raw[key] ?? []).map(idOf)));
}

/** @throws CniError 7 */
function readAttachments(key: string, list: unknown): Attachment[] {
  const result = decodeValue(attachments, list);
  if (!result.ok)
    throw new CniError('invalid-config', `network configuration: key '${key}': ${result.problem.message}`);
  return result.value.map(({ containerID: containerId, ifname }) => ({ containerId, ifname }));
}

/** Returns this network's attachments on this node, from the records, marks in OVSDB, and etcd. */
async function gather(
  call: Call,
  platform: Platform,
  plugin: 'cellnet' | 'cellnet-ipam',
  failures: Failures,
): Promise<Iterable<Known>> {
  const { name, ipamType } = call.config;
  const known = new Map<string, Known>();
  const note = ({ containerId, ifname }: Attachment): Known => {
    const each = known.get(idOf({ containerId, ifname })) ?? { containerId, ifname, allocations: new Map() };
    known.set(idOf(each), each);
    return each;
  };
  const all = platform.openState(call.settings.stateDir).listAttachments();
  const records = all.filter(({ network }) => network === name);
  records.forEach(note);
  if (plugin === 'cellnet') {
    await failures.attempt('ports', async () => {
      const ports = await withSwitch(platform, call.settings, (ovs) => ovs.findPorts());
      for (const { externalIds } of ports) {
        const { network, 'container-id': containerId = '', ifname = '' } = externalIds;
        // No ADD has made a port without them. A reconcile reports it.
        if (network === name && isAttachment({ containerId, ifname })) note({ containerId, ifname });
      }
    });
  }
  if (ipamType === undefined || ipamType === OUR_IPAM) {
    // A node that was renamed has attachments under its former name.
    for (const node of new Set([call.settings.node, ...records.filter(isOurIpam).map((each) => each.node)])) {
      const what = node === call.settings.node ? 'allocations' : `allocations of node ${node}`;
      const read = await failures.attempt(what, async () => {
        for (const seen of await readAllocations(call, platform, node)) {
          const { owner } = seen.slot;
          if (owner.network !== name) continue;
          const { allocations } = note(owner);
          allocations.set(node, [...(allocations.get(node) ?? []), seen]);
        }
        return true;
      });
      // Without their records, the next GC would not look at that name.
      if (!read && node !== call.settings.node)
        for (const record of records.filter((each) => each.node === node)) known.delete(idOf(record));
    }
  }
  return known.values();
}

/** @throws IpamError `other-machine`, `store-…` */
function readAllocations(call: Call, platform: Platform, node: string): Promise<readonly SeenAllocation[]> {
  return withIpam(call, platform, async ({ store, local }) => {
    const blocks = await readNodeBlocks(store, node);
    checkOwnsName(node, blocks.machine?.record, local.machine);
    return allocationsOn(node, blocks);
  });
}

/** Removes one attachment in the order of DEL. A step that fails stops the later ones. */
async function remove(
  call: Call,
  platform: Platform,
  plugin: 'cellnet' | 'cellnet-ipam',
  known: Known,
): Promise<void> {
  const madeInterface = plugin === 'cellnet';
  await tearDownAttachment(platform, stepsOf(platform.onStep, 'GC'), {
    attachment: known,
    stateDir: call.settings.stateDir,
    link: madeInterface,
    port: madeInterface ? call.settings : undefined,
    forget: true,
    release: async () => {
      const { ipamType } = call.config;
      if (ipamType !== undefined && ipamType !== OUR_IPAM) {
        await delegateDel(call, platform, ipamType, known);
        return;
      }
      for (const [node, allocations] of known.allocations)
        await withIpam(call, platform, (ipam) => release(ipam, { node, allocations, cause: { why: 'gc' } }));
    },
  });
  platform.log.info('removed by GC', { containerId: known.containerId, ifname: known.ifname });
}

/**
 * Forwards GC to the IPAM plugin. Most IPAM plugins do not support GC and answer code 4. GC ignores
 * that code, because each stale attachment has already had its DEL.
 */
async function forward(call: Call, platform: Platform, ipamType: string): Promise<void> {
  try {
    await delegate(call, platform, ipamType, 'GC');
  } catch (error) {
    if (!(error instanceof CniError) || error.code !== 4) throw error;
    platform.log.warn('the IPAM plugin knows no GC', { type: ipamType, reason: error.message });
  }
}
