import { OvsdbError } from '../ovsdb/errors.ts';
import { withSwitch } from '../platform/connections.ts';
import type {
  HostEnd,
  HostLink,
  Kernel,
  Namespace,
  Platform,
  PreparedInterface,
} from '../platform/platform.ts';
import { stepsOf, type StepRunner } from '../platform/steps.ts';
import type { Call } from '../protocol/call.ts';
import { CniError } from '../protocol/errors.ts';
import type { CniRoute } from '../protocol/result.ts';
import { recordOfAdd } from './attachment-record.ts';
import { deleteLink, detachPort } from './interface-teardown.ts';
import type { Plan } from './plan.ts';
import type { UndoStack } from './undo.ts';

/** A veth that was made for a plan, its end in the pod still down. */
export interface PodLink {
  readonly plan: Plan;
  readonly end: HostEnd;
  /** The host's end becomes a port meanwhile; undefined where that is to begin yet. */
  readonly attached: Promise<void> | undefined;
  /** The pod's end with its settings; where addresses are probed for first, it has none yet. */
  readonly pod: PreparedInterface | undefined;
}

/** The pod's end with its addresses. */
interface ConfiguredEnd {
  readonly pod: PreparedInterface;
  /** That the interface has. */
  readonly routes: readonly CniRoute[];
}

/** The host's end as a port. */
interface AttachedLink {
  readonly link: HostLink;
  /** Undefined where addresses are probed for first. */
  readonly inPod: ConfiguredEnd | undefined;
}

/** The whole of an attachment's interface. */
export interface CompletedInterface {
  readonly hostMac: string;
  /** That the interface has. */
  readonly routes: readonly CniRoute[];
}

/**
 * Makes the interface of one ADD. The pod link needs nothing but the plan; the rest follows once IPAM has granted the
 * addresses.
 */
export class InterfaceSetup {
  readonly #call: Call;
  readonly #platform: Platform;
  readonly #kernel: Kernel;
  readonly #namespace: Namespace;
  readonly #undo: UndoStack;
  readonly #step: StepRunner<'ADD'>;

  /** @param undo is told of each step that is made */
  constructor(call: Call, platform: Platform, kernel: Kernel, namespace: Namespace, undo: UndoStack) {
    this.#call = call;
    this.#platform = platform;
    this.#kernel = kernel;
    this.#namespace = namespace;
    this.#undo = undo;
    this.#step = stepsOf(platform.onStep, 'ADD');
  }

  /**
   * The node's record, the veth, and the settings of the pod's end. A lone ADD attaches the port concurrently. In a burst the
   * port comes last: for every change of a link or of its pod, vswitchd walks over all its ports, which delays the ports of the
   * other ADDs.
   */
  async createPodLink(plan: Plan): Promise<PodLink> {
    const crowded = this.#platform.inBurst();
    await this.#step('record', () => {
      this.#undo.push('record', () => this.#forget());
      this.#platform.openState(this.#call.settings.stateDir).saveAttachment({
        ...recordOfAdd(this.#call, this.#platform),
        mtu: plan.veth.mtu,
      });
    });
    const end = await this.#step('create-link', async () => {
      const made = await this.#createLink(plan, crowded).catch(async (error: unknown) => {
        // Something is in the way: hardly ever, so nobody looks for it beforehand.
        if (!(await this.#clearRemains(plan))) throw error;
        return await this.#createLink(plan, crowded);
      });
      this.#undo.push('link', () => deleteLink(this.#platform, this.#call.request));
      return made;
    });
    const attached = crowded ? undefined : this.#attachFirst(plan);
    const pod = this.#probes ? undefined : await besidePort(attached, this.#prepare(plan));
    return { plan, end, attached, pod };
  }

  /**
   * Gives the pod's end its addresses, and sees that the host's is a port. Where addresses are probed for, they come after that.
   * @param probe throws where an address is in use already
   */
  async connect(podLink: PodLink, probe: () => Promise<void>): Promise<CompletedInterface> {
    const { plan } = podLink;
    const first = await this.#join(podLink);
    const { link, inPod } = isSound(first.link) ? first : await this.#joinAnew(plan);
    await this.#step('probe', probe);
    const { pod, routes } = inPod ?? (await this.#configureProbed(plan));
    await this.#step('announce', () => pod.announce());
    return { hostMac: link.mac, routes };
  }

  async #join({ plan, end, attached, pod }: PodLink): Promise<AttachedLink> {
    const inPod = pod && (await besidePort(attached, this.#configure(pod)));
    await (attached ?? this.#attachFirst(plan));
    return { link: await this.#step('mark-link', () => end.mark()), inPod };
  }

  /** @throws CniError 11 where vswitchd takes this link no more than the first */
  async #joinAnew(plan: Plan): Promise<AttachedLink> {
    const { containerId, ifname } = this.#call.request;
    this.#platform.log.info('ovs-vswitchd mixed it up with an earlier link of its name: made once more', {
      containerId,
      ifname,
    });
    await this.#takeDown();
    const end = await this.#createLink(plan, true);
    const inPod = this.#probes ? undefined : await this.#configure(await this.#prepare(plan));
    await this.#attach(plan);
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
    // To be asked for lets the kernel see that its end is up, as the mark does where that comes last.
    await this.#kernel.hostLink(plan.veth.hostName);
    return inPod;
  }

  get #probes(): boolean {
    return this.#call.config.addressProbe !== undefined;
  }

  #createLink(plan: Plan, aside: boolean): Promise<HostEnd> {
    return this.#kernel.createVeth({ ...plan.veth, namespace: this.#namespace, aside });
  }

  async #prepare(plan: Plan): Promise<PreparedInterface> {
    // What others work at meanwhile is asked for first.
    await this.#platform.yieldTurn();
    return await this.#step('prepare-interface', () => this.#kernel.prepare(this.#namespace, plan.pod));
  }

  async #configure(pod: PreparedInterface): Promise<ConfiguredEnd> {
    return { pod, routes: await this.#step('configure-interface', () => pod.bringUp()) };
  }

  #attach({ port }: Plan): Promise<void> {
    return withSwitch(this.#platform, this.#call.settings, (ovs) => ovs.addPort(port));
  }

  #attachFirst(plan: Plan): Promise<void> {
    const { settings, request } = this.#call;
    const attached = this.#step('attach-port', () =>
      this.#attach(plan).catch(async (error: unknown) => {
        if (!(error instanceof OvsdbError) || error.code !== 'port-exists') throw error;
        // Our own of before a reboot, whose device was another: the database outlives it.
        await detachPort(this.#platform, settings, request);
        await settle(this.#call, this.#platform);
        await this.#attach(plan);
      }),
    );
    // Whether it fails is looked at where it is waited for; until then that must not count as unhandled.
    attached.catch(() => undefined);
    // Also where it fails: a port that never came up is in the database all the same. What goes on is waited for.
    this.#undo.push('port', async () => {
      await Promise.allSettled([attached]);
      await detachPort(this.#platform, settings, request);
    });
    return attached;
  }

  /** Removes port and link, and waits until vswitchd has seen it: a link that takes their name can then not be mistaken. */
  async #takeDown(): Promise<void> {
    await detachPort(this.#platform, this.#call.settings, this.#call.request);
    await deleteLink(this.#platform, this.#call.request);
    await settle(this.#call, this.#platform);
  }

  /**
   * What an earlier, broken-off ADD of this attachment left, and only that. A link of our name without any mark is such
   * a remain too: its maker was killed before it marked it, and the name is a hash of just this attachment.
   * @returns whether there was anything
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
    this.#platform.openState(this.#call.settings.stateDir).removeAttachment(this.#call.request);
    return Promise.resolve();
  }
}

/**
 * Whether the port that vswitchd has taken up leads to this very link. Where a port and link of its name went just before, as
 * those of an ADD that was given another address in the end, vswitchd may see one change where there were two: then it keeps the
 * device that is gone, and the pod would be deaf for ever.
 */
export const isSound = ({ up, taken }: HostLink): boolean => up && taken;

/** What fails while the port is made may follow from it: then the port's failure is the first cause. */
async function besidePort<T>(attached: Promise<void> | undefined, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    await attached;
    throw error;
  }
}

/** Waits, two seconds at most, until vswitchd has carried out what the database says. */
export async function settle(call: Call, platform: Platform): Promise<void> {
  await withSwitch(platform, call.settings, (ovs) => ovs.isServed());
}
