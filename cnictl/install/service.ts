import type { Exec } from '../context/world.ts';
import type { Step } from './steps.ts';

/**
 * The state of the agent's unit in systemd. Undefined when no systemd runs or it is not to be
 * asked.
 */
export type Service =
  | {
      readonly enabled: boolean;
      readonly active: boolean;
      /** Where the agent listens. */
      readonly socket: string;
    }
  | undefined;

const NAME = 'cellnetd.service';

const systemctl = (...words: string[]): Step => ({ do: 'run', argv: ['systemctl', ...words] });

export const RELOAD = systemctl('daemon-reload');
export const ENABLE = systemctl('enable', NAME);
/** Also starts a stopped agent. */
export const RESTART = systemctl('restart', NAME);
export const DISABLE = systemctl('disable', '--now', NAME);

/** Asks systemd. An unknown unit is neither enabled nor active. */
export async function askService(exec: Exec, socket: string): Promise<NonNullable<Service>> {
  const says = async (question: string): Promise<boolean> =>
    (await exec(['systemctl', question, '--quiet', NAME])).status === 0;
  return { enabled: await says('is-enabled'), active: await says('is-active'), socket };
}
