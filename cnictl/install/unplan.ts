import { join } from 'node:path';
import type { Look } from '../context/file-access.ts';
import { ASIDE, currentOf, manifestOf, UNIT, versionsOf, type Layout, type Tree } from './layout.ts';
import type { Programmed } from './bridge-flows.ts';
import { wrote, type Manifest } from './manifest.ts';
import { REMOVE_NFT_TABLE, type NftTable } from './nft-table.ts';
import { DISABLE, RELOAD, type Service } from './service.ts';
import type { Step } from './steps.ts';
import { halfMade } from './versions.ts';

/**
 * Returns the steps that remove an installation, in order: the network first, so that the runtime
 * starts no pod on it; then agent, flows, table of nftables, links and programs; the manifest after
 * them, so that an interrupted uninstall can be repeated; empty folders last.
 */
export function planUninstall(
  libDir: Layout['libDir'],
  made: Manifest,
  tree: Tree,
  look: Look,
  service: Service,
  { ovsdb, bridges, hasTable }: Pick<Programmed, 'ovsdb' | 'bridges'> & Pick<NftTable, 'hasTable'>,
): Step[] {
  const layout = { libDir };
  const versions = versionsOf(layout);
  const there = (path: string): boolean => look.kind(tree.at(path)) !== undefined;
  const hadUnit = UNIT in made.files;
  const files = Object.keys(made.files).filter((path) => path !== UNIT);
  const unit = hadUnit ? planFile(UNIT, made, tree, look) : [];
  const links = [...made.links.filter((path) => isStillOurs(path, libDir, tree, look)), currentOf(layout)];
  const folders = [...made.versions, ...halfMade(tree.at(versions), look)].map((name) =>
    join(versions, name),
  );
  return [
    ...files.flatMap((path) => planFile(path, made, tree, look)),
    ...(hadUnit && service && (service.enabled || service.active) ? [DISABLE] : []),
    ...bridges.map((bridge): Step => ({ do: 'clear-bridge', ovsdb, bridge })),
    ...(hasTable ? [REMOVE_NFT_TABLE] : []),
    ...unit,
    ...(service && unit.length > 0 ? [RELOAD] : []),
    ...[...links, ...folders, manifestOf(layout)]
      .filter(there)
      .map((path): Step => ({ do: 'remove', path: tree.at(path) })),
    ...[...made.folders]
      .sort()
      .reverse()
      .filter(there)
      .map((path): Step => ({ do: 'remove-if-empty', path: tree.at(path) })),
  ];
}

/** Removes a file that install wrote, and moves an edited one aside. */
function planFile(path: string, made: Manifest, tree: Tree, look: Look): Step[] {
  const full = tree.at(path);
  const text = look.kind(full) === 'file' ? look.read(full) : undefined;
  if (text === undefined) return [];
  return wrote(made, path, text)
    ? [{ do: 'remove', path: full }]
    : [{ do: 'move-aside', path: full, to: `${full}${ASIDE}` }];
}

/** A link that now leads elsewhere is no longer ours. */
const isStillOurs = (path: string, libDir: string, tree: Tree, look: Look): boolean =>
  look.kind(tree.at(path)) === 'link' && tree.leadsInto(path, libDir);
