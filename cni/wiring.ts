import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Call } from './call.ts';
import { CniError } from './errors.ts';
import type { HostEnd, HostLink, Kernel, Namespace, Parts, PreparedInterface } from './parts.ts';
import { OvsdbError } from './ovsdb/errors.ts';
import type { Plan } from './plan.ts';
import { recordOfAdd } from './record.ts';
import { stepsOf } from './steps.ts';
import { together } from './together.ts';
import type { UndoStack } from './undo.ts';
import { deleteLink, detachPort, withSwitch } from './wire.ts';

/** The host's side of an attachment as it was made. */
export interface Wired {
  readonly plan: Plan;
  readonly hostMac: string;
  /** The pod's end, where it is prepared already. */
  readonly pod?: PreparedInterface;
}

/** Makes the host's side: record, link, port; and prepares the pod's end, which has no address by then. Registers the undo of each step. */
export async function makeWire(
  call: Call,
  parts: Parts,
  kernel: Kernel,
  namespace: Namespace,
  plan: Plan,
  undo: UndoStack,
): Promise<Wired> {
  const step = stepsOf(parts.onStep, 'ADD');
  const createLink = (): Promise<HostEnd> => kernel.createVeth({ ...plan.veth, namespace });
  const attachPort = (): Promise<void> => withSwitch(parts, call.settings, (ovs) => ovs.addPort(plan.port));

  await step('record', () => {
    undo.push('record', () => forget(call, parts));
    parts.openState(call.settings.stateDir).saveAttachment({
      ...recordOfAdd(call, parts),
      mtu: plan.veth.mtu,
    });
  });
  const end = await step('create-link', async () => {
    const made = await createLink().catch(async (error: unknown) => {
      // Something is in the way: hardly ever, so nobody looks for it beforehand.
      if (!(await clearRemains(call, parts, kernel, plan))) throw error;
      return await createLink();
    });
    undo.push('link', () => deleteLink(parts, call.request));
    return made;
  });
  const attached = step('attach-port', async () => {
    // Registered first: a port that never came up is in the database all the same.
    undo.push('port', () => detachPort(parts, call.settings, call.request));
    await attachPort().catch(async (error: unknown) => {
      if (!(error instanceof OvsdbError) || error.code !== 'port-exists') throw error;
      // Our own of before a reboot, whose device was another: the database outlives it.
      await detachPort(parts, call.settings, call.request);
      await settle(call, parts);
      await attachPort();
    });
  });
  const [, pod] = await together(attached, prepareMeanwhile(call, parts, kernel, namespace, plan));
  return await step('mark-link', async () => {
    if (isSound(await end.mark())) return { plan, hostMac: end.mac, ...(pod && { pod }) };
    const { containerId, ifname } = call.request;
    parts.log.info('ovs-vswitchd mixed it up with an earlier link of its name: made once more', {
      containerId,
      ifname,
    });
    await takeDown(call, parts);
    const again = await createLink();
    await attachPort();
    await again.mark();
    return { plan, hostMac: again.mac };
  });
}

/** A probe has settings of its own: the interface's come after it. */
async function prepareMeanwhile(
  call: Call,
  parts: Parts,
  kernel: Kernel,
  namespace: Namespace,
  plan: Plan,
): Promise<PreparedInterface | undefined> {
  if (call.config.addressProbe) return undefined;
  // What others work at meanwhile is asked for first.
  await nextTurn();
  return await prepareInterface(parts, kernel, namespace, plan);
}

export function prepareInterface(
  parts: Parts,
  kernel: Kernel,
  namespace: Namespace,
  plan: Plan,
): Promise<PreparedInterface> {
  return stepsOf(parts.onStep, 'ADD')('prepare-interface', () => kernel.prepare(namespace, plan.pod));
}

/**
 * Whether the port that vswitchd has taken up leads to this very link. Where a port and link of its name went just before, as
 * those of an ADD that was given another address in the end, vswitchd may see one change where there were two: then it keeps the
 * device that is gone, or sets flags that it had read before the link was up; and the pod would be deaf for ever.
 */
const isSound = ({ up, taken }: HostLink): boolean => up && taken;

/** Removes port and link, and waits until vswitchd has seen it: a link that takes their name can then not be mistaken. */
async function takeDown(call: Call, parts: Parts): Promise<void> {
  await detachPort(parts, call.settings, call.request);
  await deleteLink(parts, call.request);
  await settle(call, parts);
}

/** Waits, two seconds at most, until vswitchd has carried out what the database says. */
export async function settle(call: Call, parts: Parts): Promise<void> {
  await withSwitch(parts, call.settings, (ovs) => ovs.isServed());
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
  await takeDown(call, parts);
  return true;
}

function forget(call: Call, parts: Parts): Promise<void> {
  parts.openState(call.settings.stateDir).removeAttachment(call.request);
  return Promise.resolve();
}
