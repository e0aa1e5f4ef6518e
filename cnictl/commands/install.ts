import { basename, dirname, join } from 'node:path';
import { stateDirOf } from '../../cni/protocol/settings.ts';
import { DEFAULT_CONFIG_FILE, DEFAULT_ENDPOINTS } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { checkAbsolute, currentOf, manifestOf, Tree, UNIT, type Layout } from '../install/layout.ts';
import { EMPTY, parseManifest, type Manifest } from '../install/manifest.ts';
import { checkConflist, makeConflist } from '../install/network.ts';
import { planInstall, type Wanted } from '../install/plan.ts';
import { askService, type Service } from '../install/service.ts';
import { describe, perform, type Step } from '../install/steps.ts';
import { makeUnit } from '../install/unit.ts';
import { planUninstall } from '../install/unplan.ts';
import { versionName } from '../install/versions.ts';
import { plural } from '../render/plural.ts';

/** Exists while systemd runs: sd_booted(3). */
const SYSTEMD_RUNS = '/run/systemd/system';

export interface InstallOptions {
  readonly from?: string;
  readonly binDir: string;
  readonly libDir: string;
  readonly conf: string;
  readonly confFrom?: string;
  readonly network: string;
  readonly bridge?: string;
  readonly cniVersion: string;
  readonly systemd: boolean;
  readonly root: string;
  readonly dryRun?: boolean;
}

/**
 * `node install`: installs programs, agent and network on this node where they are missing.
 * @throws CommandError when the source is no dist/, when a file belongs to somebody else, or when a
 *   write fails; CniError for a network configuration that the plugin would refuse
 */
export async function nodeInstall(context: Context, options: InstallOptions): Promise<number> {
  const { files } = context.world;
  const tree = new Tree(checkAbsolute('--root', options.root), files);
  const wanted = wantedOf(context, options);
  const known = readManifest(context, wanted.layout, tree) ?? EMPTY;
  const service = await serviceOf(context, tree, options.systemd);
  const { steps, notes } = planInstall(wanted, known, tree, files, service);
  const hints = [...notes, ...hintsOf(context, wanted, tree, service)];
  await carryOut(context, steps, options.dryRun ?? false);
  const { version } = wanted;
  printSteps(context, steps, `cellnet ${version} is installed: nothing to do`, {
    version,
    root: tree.root,
    dryRun: options.dryRun ?? false,
    notes: hints,
  });
  hints.forEach((hint) => context.warn(hint));
  return 0;
}

function wantedOf({ world }: Context, options: InstallOptions): Wanted {
  const layout: Layout = {
    binDir: checkAbsolute('--bin-dir', options.binDir),
    libDir: checkAbsolute('--lib-dir', options.libDir),
    conf: checkAbsolute('--conf', options.conf),
  };
  if (!layout.conf.endsWith('.conflist'))
    throw new CommandError(`--conf '${layout.conf}': expected a name that ends with .conflist`);
  const from = world.files.kind(options.from ?? world.dist)
    ? world.files.realPath(options.from ?? world.dist)
    : (options.from ?? world.dist);
  return {
    layout,
    from,
    version: versionName(from, world.files),
    conflist: conflistOf(world, options),
    unit: options.systemd ? makeUnit(layout) : undefined,
  };
}

function conflistOf({ files }: Context['world'], options: InstallOptions): string {
  const { network, bridge, cniVersion, confFrom } = options;
  if (confFrom === undefined) return makeConflist({ network, bridge, cniVersion });
  const text = files.read(confFrom);
  if (text === undefined) throw new CommandError(`--conf-from '${confFrom}' does not exist`);
  checkConflist(text, confFrom);
  return text;
}

/** Returns what the operator still has to do or should know, and no step does. */
function hintsOf({ world }: Context, { layout, unit }: Wanted, tree: Tree, service: Service): string[] {
  const folder = tree.at(dirname(layout.conf));
  const earlier = world.files
    .list(folder)
    .filter((name) => /\.(conf|conflist|json)$/.test(name) && name < basename(layout.conf))
    .map((name) => join(folder, name));
  const start = `${join(currentOf(layout), 'bin/cellnetd')} is not started: systemd does not run here`;
  return [
    ...(earlier.length > 0
      ? [`${earlier.join(', ')} comes before ${layout.conf}: most runtimes take the first`]
      : []),
    ...(world.files.kind(tree.at(DEFAULT_CONFIG_FILE))
      ? []
      : [
          `there is no ${tree.at(DEFAULT_CONFIG_FILE)} yet: etcd is looked for at ${DEFAULT_ENDPOINTS.join(', ')}`,
        ]),
    ...(unit === undefined || service
      ? []
      : [
          tree.root === '/'
            ? start
            : `to start the agent at boot: systemctl --root=${tree.root} enable ${basename(UNIT)}`,
        ]),
  ];
}

export interface UninstallOptions {
  readonly libDir: string;
  readonly root: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly force?: boolean;
}

/**
 * `node uninstall`: removes what the manifest lists. The configuration and /var/lib/cellnet stay.
 * @throws CommandError while pods on this node have addresses, or when a removal fails
 */
export async function nodeUninstall(context: Context, options: UninstallOptions): Promise<number> {
  const { files } = context.world;
  const tree = new Tree(checkAbsolute('--root', options.root), files);
  const libDir = checkAbsolute('--lib-dir', options.libDir);
  const made = readManifest(context, { libDir }, tree);
  const dryRun = options.dryRun ?? false;
  if (!options.force) checkUnused(context, tree);
  const service = made && (await serviceOf(context, tree, UNIT in made.files));
  const steps = made ? planUninstall(libDir, made, tree, files, service) : [];
  if (!dryRun && steps.length > 0)
    await context.confirm(`cellnet goes from this node: no pod can be started on it`, options.yes ?? false);
  await carryOut(context, steps, dryRun);
  const none = `${tree.at(manifestOf({ libDir }))} does not exist, so nothing is known to be installed: nothing to do`;
  printSteps(context, steps, none, { root: tree.root, dryRun });
  return 0;
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

function readManifest({ world }: Context, layout: Pick<Layout, 'libDir'>, tree: Tree): Manifest | undefined {
  const file = tree.at(manifestOf(layout));
  const text = world.files.read(file);
  return text === undefined ? undefined : parseManifest(text, file);
}

/**
 * Returns a service only for this machine. With another root, the running systemd is not that
 * root's.
 */
async function serviceOf({ world }: Context, tree: Tree, asked: boolean): Promise<Service> {
  const runs = asked && tree.root === '/' && world.files.kind(SYSTEMD_RUNS) === 'folder';
  return runs ? askService(world.exec) : undefined;
}

async function carryOut({ world }: Context, steps: readonly Step[], dryRun: boolean): Promise<void> {
  if (dryRun) return;
  for (const step of steps) await perform(step, world.files, world.exec);
}

function printSteps(
  context: Context,
  steps: readonly Step[],
  nothing: string,
  more: { readonly dryRun: boolean; readonly [key: string]: unknown },
): void {
  const changes = steps.flatMap((step) => describe(step) ?? []);
  context.print({ ...more, changes }, () => {
    if (changes.length === 0) return `${nothing}\n`;
    return changes.map((change) => `${more.dryRun ? 'would do: ' : ''}${change}\n`).join('');
  });
}
