import { dirname } from 'node:path';
import type { Look } from '../context/file-access.ts';
import type { Choices } from './choices.ts';
import { DEFAULT_LIB_DIR, manifestOf, UNIT, type Layout, type Tree } from './layout.ts';
import { parseManifest, wrote, type Manifest } from './manifest.ts';
import { readNetwork } from './network.ts';
import { findFolders, type RuntimeFolders } from './runtimes.ts';

/** Returns the list of what is installed; undefined when there is none. @throws CommandError */
export function readManifest(layout: Pick<Layout, 'libDir'>, tree: Tree, look: Look): Manifest | undefined {
  const file = tree.at(manifestOf(layout));
  const text = look.read(file);
  return text === undefined ? undefined : parseManifest(text, file);
}

/**
 * Returns the folders that the node's installation uses, else those that its runtime is configured
 * with.
 * @throws CommandError
 */
export function foldersInUse(tree: Tree, look: Look): RuntimeFolders {
  const known = readManifest({ libDir: DEFAULT_LIB_DIR }, tree, look);
  const { binDir, conf } = known ? rememberedChoices(known, tree, look) : {};
  if (binDir !== undefined && conf !== undefined) return { binDir, confDir: dirname(conf) };
  const found = findFolders(tree, look);
  return { binDir: binDir ?? found.binDir, confDir: conf === undefined ? found.confDir : dirname(conf) };
}

/**
 * Returns what earlier installations chose. One by a version that did not write its choices down
 * shows them in what it made.
 */
export function rememberedChoices(known: Manifest, tree: Tree, look: Look): Choices {
  if (known.options) return known.options;
  const conf = Object.keys(known.files).find((file) => file.endsWith('.conflist'));
  const plugin = known.links.find((link) => link.endsWith('/cellnet'));
  if (conf === undefined || plugin === undefined) return {};
  const text = look.read(tree.at(conf)) ?? '';
  const network = wrote(known, conf, text) ? readNetwork(text) : undefined;
  return {
    binDir: dirname(plugin),
    conf,
    systemd: UNIT in known.files,
    ...(network ?? { listFrom: 'an earlier installation' }),
  };
}

/** Tells whether `node install` wrote the file and it has other content since. */
export function isEdited(path: string, text: string, look: Pick<Look, 'read'>): boolean {
  const file = manifestOf({ libDir: DEFAULT_LIB_DIR });
  const manifest = look.read(file);
  if (manifest === undefined) return false;
  const known = parseManifest(manifest, file);
  return path in known.files && !wrote(known, path, text);
}
