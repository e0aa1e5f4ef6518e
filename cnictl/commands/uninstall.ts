import { join } from 'node:path';
import { stateDirOf } from '../../cni/protocol/settings.ts';
import { DEFAULT_AGENT } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { programmedBridges } from '../install/bridge-flows.ts';
import { carryOut, printChanges, serviceOf } from '../install/carry-out.ts';
import { checkAbsolute, manifestOf, Tree, UNIT } from '../install/layout.ts';
import { nftTable } from '../install/nft-table.ts';
import { readManifest } from '../install/remembered.ts';
import { planUninstall } from '../install/unplan.ts';
import { checkWritable } from '../install/writable.ts';
import { plural } from '../render/plural.ts';

export interface UninstallOptions {
  readonly libDir: string;
  readonly root: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly force?: boolean;
}

/**
 * `node uninstall`: removes what the manifest lists, what the agent programmed on bridges, and its
 * table of nftables. The configuration and /var/lib/cellnet stay.
 * @throws CommandError while pods on this node have addresses, or when a removal fails
 */
export async function nodeUninstall(context: Context, options: UninstallOptions): Promise<number> {
  const { files } = context.world;
  const tree = new Tree(checkAbsolute('--root', options.root), files);
  const libDir = checkAbsolute('--lib-dir', options.libDir);
  const made = readManifest({ libDir }, tree, files);
  const dryRun = options.dryRun ?? false;
  if (!options.force) checkUnused(context, tree);
  const service = made && (await serviceOf(context, tree, UNIT in made.files));
  const programmed = await programmedBridges(context, tree);
  const table = await nftTable(context, tree);
  const found = { ...programmed, hasTable: table.hasTable };
  const steps = made ? planUninstall(libDir, made, tree, files, service, found) : [];
  if (!dryRun && steps.length > 0)
    await context.confirm(`cellnet goes from this node: no pod can be started on it`, options.yes ?? false);
  checkWritable(steps, files);
  const changes = await carryOut(context.world, steps, dryRun);
  const none = `${tree.at(manifestOf({ libDir }))} does not exist, so nothing is known to be installed: nothing to do`;
  printChanges(context, changes, { nothing: none }, { root: tree.root, dryRun });
  for (const { trouble } of [programmed, table]) if (trouble !== undefined) context.warn(trouble);
  const kept = [...programmed.bridges, ...(table.hasTable ? ['the table inet cellnet'] : [])];
  if (!dryRun && changes.length > 0) await warnOfAgent(context, kept);
  return 0;
}

/** An agent that no systemd unit started, such as a DaemonSet's, runs on. */
async function warnOfAgent(context: Context, kept: readonly string[]): Promise<void> {
  const { world, settings } = context;
  const socket = settings.agent ?? DEFAULT_AGENT;
  if (kept.length === 0 || socket === false) return;
  const { answers } = await world.probeAgent(socket).catch(() => ({ answers: false }));
  if (answers)
    context.warn(`the agent at ${socket} still runs, and programs ${kept.join(', ')} again: end it first`);
}

/** @throws CommandError while this node has records of attachments or unfinished teardowns */
function checkUnused({ world }: Context, tree: Tree): void {
  const stateDir = tree.at(stateDirOf(world.env));
  const count = (folder: string): number =>
    world.files.list(join(stateDir, folder)).filter((name) => name.endsWith('.json')).length;
  const [attachments, pending] = [count('attachments'), count('pending')];
  if (attachments > 0) {
    throw new CommandError(
      `${plural(attachments, 'interface')} of pods on this node still ${attachments === 1 ? 'has its address' : 'have their addresses'} (${stateDir}/attachments)`,
      'Drain the node first (kubectl drain), so that their DEL finds the plugin; or --force.',
    );
  }
  if (pending > 0) {
    throw new CommandError(
      `${plural(pending, 'teardown')} ${pending === 1 ? 'is' : 'are'} still to be finished (${stateDir}/pending): the next call of the plugin does it`,
      'See that etcd and Open vSwitch answer, and wait; or --force, and free the addresses with cnictl check.',
    );
  }
}
