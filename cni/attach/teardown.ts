import type { Attachment } from '../../ipam/model/attachment.ts';
import type { Platform } from '../platform/platform.ts';
import type { StepOf } from '../platform/steps.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import { deleteLink, detachPort } from './interface-teardown.ts';

/** What to tear down of an attachment whose DEL never came. */
export interface Teardown {
  readonly attachment: Attachment;
  readonly stateDir: string;
  /** Whether a link of ours may exist. */
  readonly link: boolean;
  /** The Open vSwitch that may have a port of ours; undefined when there is none. */
  readonly port: SwitchAddress | undefined;
  readonly release: () => Promise<void>;
  /** Whether to remove our record of the attachment too. */
  readonly forget: boolean;
}

/** Runs a step between the hooks of GC or of a reconcile, which have the same steps. */
type TeardownStep = <T>(step: StepOf<'GC' | 'RECONCILE'>, work: () => Promise<T> | T) => Promise<T>;

/**
 * Tears the attachment down in the order of DEL (rule 8). A step that fails stops the later ones. A
 * repeated call continues where this one ended.
 */
export async function tearDownAttachment(
  platform: Platform,
  step: TeardownStep,
  { attachment, stateDir, link, port, release, forget }: Teardown,
): Promise<void> {
  if (port) await step('detach-port', () => detachPort(platform, port, attachment));
  if (link) await step('delete-link', () => deleteLink(platform, attachment));
  const state = platform.openState(stateDir);
  await step('release', async () => {
    state.uncarry(attachment);
    await release();
  });
  if (forget) await step('forget', () => state.removeAttachment(attachment, true));
}
