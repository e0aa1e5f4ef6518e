import type { Call } from './call.ts';
import { CniError } from './errors.ts';
import type { Kernel, Namespace, Parts } from './parts.ts';
import type { Plan } from './plan.ts';
import { recordOf } from './record.ts';
import { stepsOf } from './steps.ts';
import type { UndoStack } from './undo.ts';
import { deleteLink, detachPort, withSwitch } from './wire.ts';

/** The host's side of an attachment as it was made. */
export interface Wired {
  readonly plan: Plan;
  readonly hostMac: string;
}

/** Makes the host's side: record, link, port. The pod's end has no address by then. Registers the undo of each step. */
export async function makeWire(
  call: Call,
  parts: Parts,
  kernel: Kernel,
  namespace: Namespace,
  plan: Plan,
  undo: UndoStack,
): Promise<Wired> {
  const step = stepsOf(parts.onStep, 'ADD');
  await step('record', () => {
    undo.push('record', () => forget(call, parts));
    parts.openState(call.settings.stateDir).saveAttachment({
      ...recordOf(call, parts),
      mtu: plan.veth.mtu,
    });
  });
  const hostMac = await step('create-link', async () => {
    const make = (): Promise<string> => kernel.createVeth({ ...plan.veth, namespace });
    const mac = await make().catch(async (error: unknown) => {
      // Something is in the way: hardly ever, so nobody looks for it beforehand.
      if (!(await clearRemains(call, parts, kernel, plan))) throw error;
      return await make();
    });
    undo.push('link', () => deleteLink(parts, call.request));
    return mac;
  });
  await step('attach-port', async () => {
    // Registered first: a port that never came up is in the database all the same.
    undo.push('port', () => detachPort(parts, call.settings, call.request));
    await withSwitch(parts, call.settings, (ovs) => ovs.addPort(plan.port));
  });
  return { plan, hostMac };
}

/**
 * What an earlier, broken-off ADD of this attachment left, and only that. A link of our name without any mark is such
 * a remain too: its maker was killed before it marked it, and the name is a hash of just this attachment.
 * @returns whether there was anything
 * @throws CniError 103 for a link that is not ours
 */
async function clearRemains(call: Call, parts: Parts, kernel: Kernel, plan: Plan): Promise<boolean> {
  const link = await kernel.hostLink(plan.veth.hostName);
  if (!link) return false;
  if (link.alias !== '' && link.alias !== plan.veth.alias) {
    throw new CniError(
      'not-ours',
      `link '${link.name}' is in the way: its alias is '${link.alias}', expected '${plan.veth.alias}'`,
      `Find out who made it with \`ip -d link show ${link.name}\`; cellnet deletes only its own.`,
    );
  }
  await detachPort(parts, call.settings, call.request);
  await deleteLink(parts, call.request);
  return true;
}

function forget(call: Call, parts: Parts): Promise<void> {
  parts.openState(call.settings.stateDir).removeAttachment(call.request);
  return Promise.resolve();
}
