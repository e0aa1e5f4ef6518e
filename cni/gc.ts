import * as v from 'valibot';
import type { Attachment } from '../ipam/block.ts';
import { releaseAddress, listBlocks } from '../ipam/inventory.ts';
import { usedSlots } from '../ipam/block.ts';
import { decodeValue } from '../ipam/decode.ts';
import type { Call } from './call.ts';
import { OUR_IPAM } from './config.ts';
import { CniError } from './errors.ts';
import { delegate, withIpam } from './ipam.ts';
import type { Parts } from './parts.ts';
import { finishPending } from './pending.ts';
import { deleteLink, detachPort, withSwitch } from './wire.ts';

const attachments = v.array(v.looseObject({ containerID: v.string(), ifname: v.string() }));
const KEYS = ['cni.dev/valid-attachments', 'cni.dev/attachments'] as const;

/**
 * GC (CNI SPEC 1.1.0 section 4): removes what this network has on this node beside the valid attachments: ports and links with
 * our mark, and allocations. Goes on past failures, and tells all of them at the end.
 * @throws CniError 7 without the list: then nothing is removed
 */
export async function gc(call: Call, parts: Parts, plugin: 'cellnet' | 'cellnet-ipam'): Promise<void> {
  const valid = validAttachments(call);
  const failures: string[] = [];
  const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const { ipamType } = call.config;
  const ours = ipamType === undefined || ipamType === OUR_IPAM;
  const held = ours ? await allocationsOf(call, parts) : [];
  if (plugin === 'cellnet') await attempt('ports', () => removeWires(call, parts, valid, held, attempt));
  for (const { attachment, address, sequence } of held) {
    if (valid.has(idOf(attachment))) continue;
    await attempt(`address of ${idOf(attachment)}`, () =>
      withIpam(call, parts, (ipam) => releaseAddress(ipam, address, { ...attachment, sequence })),
    );
  }
  if (!ours) await attempt(`IPAM plugin '${ipamType}'`, () => delegate(call, parts, ipamType, 'GC'));
  await attempt('teardowns put off', () => finishPending(call, parts));
  if (failures.length > 0)
    throw new CniError('io-failure', `GC of network '${call.config.name}': ${failures.join('; ')}`);
}

const idOf = ({ containerId, ifname }: Attachment): string => `${containerId}/${ifname}`;

function validAttachments(call: Call): ReadonlySet<string> {
  const key = KEYS.find((each) => call.config.raw[each] !== undefined);
  if (!key)
    throw new CniError('invalid-config', `GC needs key '${KEYS[0]}': the attachments that are still valid`);
  const result = decodeValue(attachments, call.config.raw[key]);
  if (!result.ok)
    throw new CniError('invalid-config', `network configuration: key '${key}': ${result.problem.message}`);
  return new Set(result.value.map((each) => idOf({ containerId: each.containerID, ifname: each.ifname })));
}

interface Held {
  readonly attachment: Attachment;
  readonly address: Parameters<typeof releaseAddress>[1];
  readonly sequence: number;
}

/** What etcd holds for this network on this node. */
function allocationsOf(call: Call, parts: Parts): Promise<Held[]> {
  return withIpam(call, parts, async (ipam) => {
    const blocks = await listBlocks(ipam, { node: call.settings.node });
    return blocks.flatMap(({ block }) =>
      usedSlots(block)
        .filter(({ slot }) => slot.owner.network === call.config.name)
        .map(({ address, slot }) => ({ attachment: slot.owner, address, sequence: slot.sequence })),
    );
  });
}

/** Ports and links with our mark whose attachment is not valid, as far as they are this network's. */
async function removeWires(
  call: Call,
  parts: Parts,
  valid: ReadonlySet<string>,
  held: readonly Held[],
  attempt: (what: string, work: () => Promise<unknown>) => Promise<void>,
): Promise<void> {
  const state = parts.openState(call.settings.stateDir);
  const ports = await withSwitch(parts, call.settings.ovsdb, (ovs) => ovs.findPorts());
  for (const port of ports) {
    const attachment = {
      containerId: port.externalIds['container-id'] ?? '',
      ifname: port.externalIds['ifname'] ?? '',
    };
    if (attachment.containerId === '' || valid.has(idOf(attachment))) continue;
    const network =
      state.readAttachment(attachment)?.network ??
      (held.some((each) => idOf(each.attachment) === idOf(attachment)) ? call.config.name : undefined);
    if (network !== call.config.name) continue;
    await attempt(`port of ${idOf(attachment)}`, async () => {
      await detachPort(parts, call.settings.ovsdb, attachment);
      await deleteLink(parts, attachment);
      state.removeAttachment(attachment);
    });
  }
}
