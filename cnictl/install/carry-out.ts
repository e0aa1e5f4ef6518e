import { DEFAULT_AGENT } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import type { Tree } from './layout.ts';
import { agentEnvironment } from './node-program.ts';
import { askService, type Service } from './service.ts';
import { describe, perform, type Hands, type Step } from './steps.ts';

/** Exists while systemd runs: sd_booted(3). */
const SYSTEMD_RUNS = '/run/systemd/system';

/**
 * Returns a service only for this machine. With another root, the running systemd is not that
 * root's.
 */
export async function serviceOf(
  { world, settings }: Pick<Context, 'world' | 'settings'>,
  tree: Tree,
  asked: boolean,
): Promise<Service> {
  const { files, exec } = world;
  const runs = asked && tree.root === '/' && files.kind(SYSTEMD_RUNS) === 'folder';
  if (!runs) return undefined;
  return await askService(exec, agentEnvironment(files)['CELLNET_AGENT'] || settings.agent || DEFAULT_AGENT);
}

/**
 * Performs the steps, or none of them on a dry run.
 * @returns a line for each change
 * @throws CommandError
 */
export async function carryOut(hands: Hands, steps: readonly Step[], dryRun: boolean): Promise<string[]> {
  if (dryRun) return steps.flatMap((step) => describe(step, 'before') ?? []);
  const changes: string[] = [];
  for (const step of steps) {
    const changed = await perform(step, hands);
    const line = changed ? describe(step, 'after') : undefined;
    if (line !== undefined) changes.push(line);
  }
  return changes;
}

export function printChanges(
  context: Context,
  changes: readonly string[],
  texts: { readonly nothing: string; readonly heading?: string },
  more: { readonly dryRun: boolean; readonly [key: string]: unknown },
): void {
  context.print({ ...more, changes }, () => {
    if (changes.length === 0) return `${texts.nothing}\n`;
    const heading = texts.heading === undefined ? '' : `${texts.heading}\n`;
    return heading + changes.map((change) => `${more.dryRun ? 'would do: ' : ''}${change}\n`).join('');
  });
}
