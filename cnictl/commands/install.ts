import { basename, dirname, join } from 'node:path';
import { DEFAULT_CONFIG_FILE, DEFAULT_ENDPOINTS } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { carryOut, printChanges, serviceOf } from '../install/carry-out.ts';
import { checkAbsolute, currentOf, Tree, UNIT } from '../install/layout.ts';
import { EMPTY } from '../install/manifest.ts';
import { checkNode } from '../install/node-program.ts';
import { planInstall, type Wanted } from '../install/plan.ts';
import { fromTo } from '../install/versions.ts';
import { readManifest } from '../install/remembered.ts';
import type { Service } from '../install/service.ts';
import { wantedOf, type WantedOptions } from '../install/wanted.ts';
import { checkWritable } from '../install/writable.ts';

export interface InstallOptions extends WantedOptions {
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
  const dryRun = options.dryRun ?? false;
  const tree = new Tree(checkAbsolute('--root', options.root), files);
  const libDir = checkAbsolute('--lib-dir', options.libDir);
  const known = readManifest({ libDir }, tree, files) ?? EMPTY;
  const wanted = wantedOf(context.world, options, known, tree);
  const service = await serviceOf(context, tree, wanted.unit !== undefined);
  const nodeNotes = tree.root === '/' ? await checkNode(context.world, service !== undefined) : [];
  const { steps, replaces, notes } = planInstall(wanted, known, tree, files, service);
  const hints = [...notes, ...nodeNotes, ...hintsOf(context, wanted, tree, service)];
  checkWritable(steps, files);
  const changes = await carryOut(context.world, steps, dryRun);
  const { version } = wanted;
  const texts = {
    nothing: `cellnet ${version} is installed: nothing to do`,
    ...(replaces !== undefined && { heading: fromTo(replaces, version) }),
  };
  printChanges(context, changes, texts, {
    version,
    replaces: replaces ?? null,
    root: tree.root,
    dryRun,
    notes: hints,
  });
  hints.forEach((hint) => context.warn(hint));
  return 0;
}

/** Returns what the operator still has to do or should know, and no step does. */
function hintsOf(
  { world }: Context,
  { layout, unit, shared }: Wanted,
  tree: Tree,
  service: Service,
): string[] {
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
    ...(shared !== undefined || world.files.kind(tree.at(DEFAULT_CONFIG_FILE))
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
