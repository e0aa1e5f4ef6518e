import type { AttachmentRecord, NodeRecords } from '../platform/node-records.ts';
import type {
  HostEnd,
  HostLink,
  Kernel,
  Namespace,
  Platform,
  PreparedInterface,
} from '../platform/platform.ts';
import { withSwitch } from '../platform/connections.ts';
import { stepsOf, type StepRunner } from '../platform/steps.ts';
import { delegateOf, type Call } from '../protocol/call.ts';
import { CniError } from '../protocol/errors.ts';
import type { CniRoute } from '../protocol/result.ts';
import { recordedGrant, recordOfAdd } from './attachment-record.ts';
import { deleteLink, detachPort } from './interface-teardown.ts';
import type { Plan } from './plan.ts';
import { addPort, attachPort, settle } from './port-attach.ts';
import { recordedLimits, recordedPort } from './recorded-port.ts';
import type { UndoStack } from './undo.ts';

/** A veth created for a plan. Its end in the pod is still down. */
export interface PodLink {
  readonly plan: Plan;
  readonly end: HostEnd;
  /** Resolves when the host's end is a port; undefined when the attach has not started yet. */
  readonly attached: Promise<void> | undefined;
  /** The pod's end with its settings; undefined when the ADD probes for the addresses first. */
  readonly pod: PreparedInterface | undefined;
}

/** The pod's end with its addresses. */
interface ConfiguredEnd {
  readonly pod: PreparedInterface;
  /** Routes of this interface. */
  readonly routes: readonly CniRoute[];
}

/** The host's end as a port. */
interface AttachedLink {
  readonly link: HostLink;
  /** Undefined when the ADD probes for the addresses first. */
  readonly inPod: ConfiguredEnd | undefined;
}

/** The complete interface of an attachment. */
export interface CompletedInterface {
  readonly hostMac: string;
  /** Routes of this interface. */
  readonly routes: readonly CniRoute[];
}

/**
 * Sets up the interface of one ADD. {@link createPodLink} needs only the plan. {@link connect}
 * follows once IPAM has granted the addresses.
 */
export class InterfaceSetup {
  readonly #call: Call;
  readonly #platform: Platform;
  readonly #kernel: Kernel;
  readonly #namespace: Namespace;
  readonly #undo: UndoStack;
  readonly #step: StepRunner<'ADD'>;

  /** @param undo receives the undo of each step */
  constructor(call: Call, platform: Platform, kernel: Kernel, namespace: Namespace, undo: UndoStack) {
    this.#call = call;
    this.#platform = platform;
    this.#kernel = kernel;
    this.#namespace = namespace;
    this.#undo = undo;
    this.#step = stepsOf(platform.onStep, 'ADD');
  }

  /**
   * Saves the node's record, creates the veth, and prepares the pod's end. A lone ADD attaches the
   * port concurrently. In a burst the port comes last: vswitchd walks over all its ports for every
   * change of a link or of its pod, and each walk delays the ports of the other ADDs.
   */
  async createPodLink(plan: Plan): Promise<PodLink> {
    const inBurst = this.#platform.inBurst();
    await this.#step('record', () => {
      this.#undo.push('record', () => this.#forget());
      this.#state.noteBoot(this.#platform.bootId);
      this.#state.saveAttachment(this.#recordOf(plan));
    });
    const end = await this.#step('create-link', async () => {
      const made = await this.#createLink(plan, inBurst).catch(async (error: unknown) => {
        // Remains of an earlier ADD are rare, so the ADD looks for them only after a failure.
        if (!(await this.#clearRemains(plan))) throw error;
        return await this.#createLink(plan, inBurst);
      });
      this.#undo.push('link', () => deleteLink(this.#platform, this.#call.request));
      return made;
    });
    const attached = inBurst ? undefined : this.#attachFirst(plan);
    const pod = plan.probe ? undefined : await besidePort(attached, this.#prepare(plan));
    return { plan, end, attached, pod };
  }

  /**
   * Assigns the addresses to the pod's end, and waits until the host's end is a port. When the ADD
   * probes for the addresses, it assigns them after the probe.
   * @param probe throws when another host uses an address
   * @throws CniError 11 when vswitchd does not take the link, even after a second try
   */
  async connect(podLink: PodLink, probe: () => Promise<void>): Promise<CompletedInterface> {
    const { plan } = podLink;
    await this.#carry(plan);
    const first = await this.#join(podLink);
    const { link, inPod } = isSound(first.link) ? first : await this.#joinAnew(plan);
    await this.#step('probe', probe);
    const { pod, routes } = inPod ?? (await this.#configureProbed(plan));
    await this.#step('announce', () => pod.announce());
    return { hostMac: link.mac, routes };
  }

  /**
   * Names the addresses at the port and in the record: another IPAM plugin gave them once the
   * interface was there.
   * @throws OvsdbError
   */
  async nameAddresses(plan: Plan): Promise<void> {
    await withSwitch(this.#platform, this.#call.settings, (ovs) => ovs.markPort(plan.port));
    this.#state.saveAttachment(this.#recordOf(plan));
  }

  /**
   * Assigns the addresses to the pod's end of a complete interface, and returns its routes.
   * @param probe as {@link connect}
   */
  async assignAddresses(plan: Plan, probe: () => Promise<void>): Promise<readonly CniRoute[]> {
    await this.#step('probe', probe);
    const { pod, routes } = await this.#configureProbed(plan);
    await this.#step('announce', () => pod.announce());
    return routes;
  }

  async #join({ plan, end, attached, pod }: PodLink): Promise<AttachedLink> {
    const inPod = pod && (await besidePort(attached, this.#configure(pod)));
    await (attached ?? this.#attachFirst(plan));
    return { link: await this.#step('mark-link', () => end.mark()), inPod };
  }

  /** Creates link and port again. Throws CniError 11 when vswitchd does not take this link. */
  async #joinAnew(plan: Plan): Promise<AttachedLink> {
    const { containerId, ifname } = this.#call.request;
    this.#platform.log.info('ovs-vswitchd mixed it up with an earlier link of its name: made once more', {
      containerId,
      ifname,
    });
    await this.#takeDown();
    const end = await this.#createLink(plan, true);
    const inPod = plan.probe ? undefined : await this.#configure(await this.#prepare(plan));
    await addPort(this.#platform, this.#call.settings, plan.port);
    const link = await end.mark();
    if (isSound(link)) return { link, inPod };
    throw new CniError(
      'try-again-later',
      `ovs-vswitchd gave port '${plan.port.name}' a number twice, but has not taken the link of that name`,
      `Look at the log of ovs-vswitchd, and whether the link is promiscuous: \`ip -d link show ${plan.port.name}\`.`,
    );
  }

  async #configureProbed(plan: Plan): Promise<ConfiguredEnd> {
    const inPod = await this.#configure(await this.#prepare(plan));
    // A query of the host's end makes the kernel notice that this end is up. Without a probe, the
    // mark comes last and has the same effect.
    await this.#kernel.hostLink(plan.veth.hostName);
    return inPod;
  }

  get #state(): NodeRecords {
    return this.#platform.openState(this.#call.settings.stateDir);
  }

  #recordOf({ grant, veth, port }: Plan): AttachmentRecord {
    const { mac, mtu } = veth;
    return {
      ...recordOfAdd(this.#call, this.#platform, grant.allocations, mac),
      mtu,
      port: recordedPort(port),
      ...(delegateOf(this.#call) !== undefined && recordedGrant(grant)),
      ...(port.limited && { limits: recordedLimits(port.limited.limits) }),
    };
  }

  /**
   * Enters the addresses among those that pods of this node use. From now on no process of the node
   * gives them out, even if etcd forgets them. The record must be saved.
   */
  async #carry(plan: Plan): Promise<void> {
    await this.#step('carry', () => this.#state.carry(this.#recordOf(plan)));
  }

  /** Saves the record of an interface that an earlier ADD has set up, and enters its addresses. */
  async remember(plan: Plan): Promise<void> {
    this.#state.saveAttachment(this.#recordOf(plan));
    await this.#carry(plan);
  }

  #createLink(plan: Plan, aside: boolean): Promise<HostEnd> {
    return this.#kernel.createVeth({ ...plan.veth, namespace: this.#namespace, aside });
  }

  async #prepare(plan: Plan): Promise<PreparedInterface> {
    // Lets pending requests to other servers go out before this synchronous work.
    await this.#platform.yieldTurn();
    return await this.#step('prepare-interface', () => this.#kernel.prepare(this.#namespace, plan.pod));
  }

  async #configure(pod: PreparedInterface): Promise<ConfiguredEnd> {
    return { pod, routes: await this.#step('configure-interface', () => pod.bringUp()) };
  }

  #attachFirst(plan: Plan): Promise<void> {
    const { settings, request } = this.#call;
    const attached = this.#step('attach-port', () =>
      attachPort(this.#platform, settings, request, plan.port),
    );
    // A rejection must not count as unhandled before a caller awaits the port.
    attached.catch(() => undefined);
    // The undo also follows a failed attach: a port that never came up is still in the database. It
    // waits for an attach that is still under way.
    this.#undo.push('port', async () => {
      await Promise.allSettled([attached]);
      await detachPort(this.#platform, settings, request);
    });
    return attached;
  }

  /**
   * Removes port and link, and waits until vswitchd has processed that. vswitchd then cannot
   * confuse the removed link with a new one of the same name.
   */
  async #takeDown(): Promise<void> {
    await detachPort(this.#platform, this.#call.settings, this.#call.request);
    await deleteLink(this.#platform, this.#call.request);
    await settle(this.#platform, this.#call.settings);
  }

  /**
   * Removes what an interrupted ADD of this attachment left, and nothing else. That includes a link
   * with our name and no alias: the name is a hash of this attachment alone, and the ADD was killed
   * before it marked the link. Returns whether there was a link.
   * @throws CniError 103 for a link that is not ours
   */
  async #clearRemains({ veth }: Plan): Promise<boolean> {
    const link = await this.#kernel.hostLink(veth.hostName);
    if (!link) return false;
    if (link.alias !== '' && link.alias !== veth.alias) {
      throw new CniError(
        'not-ours',
        `link '${link.name}' is in the way: its alias is '${link.alias}', expected '${veth.alias}'`,
        `Find out who made it with \`ip -d link show ${link.name}\`; cellnet deletes only its own.`,
      );
    }
    await this.#takeDown();
    return true;
  }

  #forget(): Promise<void> {
    this.#state.removeAttachment(this.#call.request);
    return Promise.resolve();
  }
}

/**
 * Whether vswitchd's port leads to this very link. vswitchd may see two changes as one when a port
 * and link of the same name were removed just before, for example those of an ADD that was granted
 * another address. vswitchd then keeps the removed device, and the pod never receives a packet.
 */
export const isSound = ({ up, taken }: HostLink): boolean => up && taken;

/**
 * Rejects with the port's failure when both the work and the port fail: the work may have failed
 * because of the port.
 */
async function besidePort<T>(attached: Promise<void> | undefined, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    await attached;
    throw error;
  }
}
