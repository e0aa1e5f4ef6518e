import { join } from 'node:path';
import { DEFAULT_CONFIG_FILE } from '../../ipam/settings/settings.ts';
import type { World } from '../context/world.ts';
import { CommandError } from '../context/errors.ts';
import { mergeChoices, type Choices } from './choices.ts';
import {
  checkAbsolute,
  CONF_NAME,
  DEFAULT_PROGRAM_DIR,
  isWithin,
  PACKAGED,
  type Layout,
  type Tree,
} from './layout.ts';
import type { Manifest } from './manifest.ts';
import { checkConflist, makeConflist } from './network.ts';
import type { Wanted } from './plan.ts';
import { rememberedChoices } from './remembered.ts';
import { findFolders } from './runtimes.ts';
import { sharedFileOf } from './shared-file.ts';
import { makeUnit } from './unit.ts';
import { notifiesSystemd, versionName } from './versions.ts';

/** Options of `node install` on the command line. Those that are missing are remembered. */
export interface WantedOptions {
  readonly from?: string;
  readonly libDir: string;
  readonly binDir?: string;
  readonly conf?: string;
  readonly programDir?: string | false;
  readonly confFrom?: string;
  readonly network?: string;
  readonly bridge?: string;
  readonly cniVersion?: string;
  readonly systemd?: boolean;
  readonly configFrom?: string;
  readonly nodeName?: string;
  readonly replaceEdited?: boolean;
  readonly allowDowngrade?: boolean;
}

/**
 * Returns what to install: by the given options, else by those of the installation before, else by
 * what the node's runtime is configured with.
 * @throws CommandError, CniError for a network configuration that the plugin would refuse
 */
export function wantedOf(
  { files, dist }: Pick<World, 'files' | 'dist'>,
  options: WantedOptions,
  known: Manifest,
  tree: Tree,
): Wanted {
  const choices = mergeChoices(rememberedChoices(known, tree, files), givenChoices(options));
  const named = options.from ?? sourceOf(dist, options.libDir, tree, files);
  const from = files.kind(named) ? files.realPath(named) : named;
  // The package has cnictl in the PATH. Of two, the shell would find the one in /usr/local/bin.
  const programDir = from === tree.at(PACKAGED) ? false : DEFAULT_PROGRAM_DIR;
  const layout = layoutOf(options.libDir, { programDir, ...choices }, () => findFolders(tree, files));
  return {
    layout,
    from,
    version: versionName(from, files),
    conflist: conflistOf(options.confFrom, choices, tree.at(layout.conf), files),
    unit: choices.systemd === false ? undefined : makeUnit(layout, notifiesSystemd(from, files)),
    shared: sharedOf(options, files),
    replaceEdited: options.replaceEdited ?? false,
    allowDowngrade: options.allowDowngrade ?? false,
    options: choices,
  };
}

/**
 * Returns the dist/ of this cnictl. When that is the copy of an earlier installation, which could
 * only install itself again, the package's counts.
 */
function sourceOf(dist: string, libDir: string, tree: Tree, files: World['files']): string {
  const copies = tree.at(libDir);
  const isCopy = files.kind(copies) === 'folder' && isWithin(files.realPath(copies), dist);
  return isCopy && files.kind(tree.at(PACKAGED)) === 'folder' ? tree.at(PACKAGED) : dist;
}

function sharedOf({ configFrom, nodeName }: WantedOptions, files: World['files']): string | undefined {
  if (configFrom !== undefined) return sharedFileOf(configFrom, nodeName, files);
  if (nodeName === undefined) return undefined;
  throw new CommandError(
    `--node-name '${nodeName}': expected --config-from beside it`,
    `Without it, set the key "node" in ${DEFAULT_CONFIG_FILE}.`,
  );
}

function givenChoices({ programDir, systemd, network, bridge, cniVersion, ...more }: WantedOptions): Choices {
  const { binDir, conf, confFrom } = more;
  const absolute = (option: string, path: string): string => checkAbsolute(option, path);
  return {
    ...(binDir !== undefined && { binDir: absolute('--bin-dir', binDir) }),
    ...(conf !== undefined && { conf: checkConf(absolute('--conf', conf)) }),
    ...(programDir !== undefined && {
      programDir: programDir === false ? false : absolute('--program-dir', programDir),
    }),
    ...(systemd !== undefined && { systemd }),
    ...(network !== undefined && { network }),
    ...(bridge !== undefined && { bridge }),
    ...(cniVersion !== undefined && { cniVersion }),
    ...(confFrom !== undefined && { listFrom: confFrom }),
  };
}

function checkConf(path: string): string {
  if (path.endsWith('.conflist')) return path;
  throw new CommandError(`--conf '${path}': expected a name that ends with .conflist`);
}

function layoutOf(libDir: string, choices: Choices, find: () => ReturnType<typeof findFolders>): Layout {
  const { binDir, conf, programDir = false } = choices;
  const found = binDir === undefined || conf === undefined ? find() : undefined;
  return {
    libDir: checkAbsolute('--lib-dir', libDir),
    binDir: binDir ?? found?.binDir ?? '',
    conf: conf ?? join(found?.confDir ?? '', CONF_NAME),
    programDir: programDir === false ? undefined : programDir,
  };
}

/** Returns undefined for a list that an earlier installation took from a file: it stays. */
function conflistOf(
  given: string | undefined,
  { network = 'cell', bridge, cniVersion = '1.0.0', listFrom }: Choices,
  path: string,
  files: World['files'],
): string | undefined {
  if (given === undefined && listFrom === undefined) return makeConflist({ network, bridge, cniVersion });
  if (given === undefined && files.kind(path) !== undefined) return undefined;
  const file = given ?? listFrom ?? '';
  const text = files.read(file);
  if (text === undefined)
    throw new CommandError(
      `--conf-from '${file}' does not exist`,
      given === undefined ? `The network ${path} was made from it and is gone: name the list again.` : '',
    );
  checkConflist(text, file);
  return text;
}
