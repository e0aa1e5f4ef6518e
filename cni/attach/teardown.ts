import type { Attachment } from '../../ipam/model/attachment.ts';
import type { Platform } from '../platform/platform.ts';
import type { StepOf } from '../platform/steps.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import { deleteLink, detachPort } from './interface-teardown.ts';

/** What is to be taken down of an attachment whose DEL never came. */
export interface Teardown {
  readonly attachment: Attachment;
  readonly stateDir: string;
  /** Whether a link of ours may be there. */
  readonly link: boolean;
  /** Where a port of ours may be; undefined: there is none. */
  readonly port: SwitchAddress | undefined;
  readonly release: () => Promise<void>;
  /** Whether our record of it goes too. */
  readonly forget: boolean;
}

/** Runs a step between the hooks of GC, or those of a reconcile: they have the same ones. */
type TeardownStep = <T>(step: StepOf<'GC' | 'RECONCILE'>, work: () => Promise<T> | T) => Promise<T>;

/** In the order of DEL (rule 8). What fails keeps what comes after it; done again, it goes on where it ended. */
export async function tearDownAttachment(
  platform: Platform,
  step: TeardownStep,
  { attachment, stateDir, link, port, release, forget }: Teardown,
): Promise<void> {
  if (port) await step('detach-port', () => detachPort(platform, port, attachment));
  if (link) await step('delete-link', () => deleteLink(platform, attachment));
  await step('release', release);
  if (forget) await step('forget', () => platform.openState(stateDir).removeAttachment(attachment));
}
