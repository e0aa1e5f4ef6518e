import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** One npm package whose code is in the bundles. */
export interface Bundled {
  readonly name: string;
  readonly version: string;
  /** As its package.json has it, such as `MIT`. */
  readonly license: string;
  /** The text of its license file. Empty: it has none. */
  readonly text: string;
}

/** Their addons are files of their own, which no source map lists. */
const NATIVE = ['netlink', 'koffi'];

/**
 * Returns the packages that the bundles of a dist/ contain, by name, as their source maps tell.
 * @param root the folder with node_modules
 */
export function bundledPackages(dist: string, root: string): Bundled[] {
  const lib = join(dist, 'lib');
  const folders = new Set(NATIVE.map((name) => join(root, 'node_modules', name)));
  for (const file of readdirSync(lib).filter((name) => name.endsWith('.js.map'))) {
    const { sources } = JSON.parse(readFileSync(join(lib, file), 'utf8')) as { sources: string[] };
    for (const source of sources) {
      const folder = packageFolder(resolve(lib, source));
      // Some maps name sources of a package's own bundling, which npm does not install.
      if (folder !== undefined && existsSync(join(folder, 'package.json'))) folders.add(folder);
    }
  }
  const found = [...folders].map(readPackage);
  const byName = new Map(found.map((each) => [`${each.name} ${each.version}`, each]));
  return [...byName.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
}

/** Returns the folder of the package that a file belongs to. Undefined: it is cellnet's own. */
export function packageFolder(path: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
}

function readPackage(folder: string): Bundled {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
    license?: string;
  };
  if (license === undefined) throw new Error(`${folder}/package.json: expected "license"`);
  const file = readdirSync(folder).find((each) => /^(licen[cs]e|copying)(\.(md|txt))?$/i.test(each));
  return { name, version, license, text: file === undefined ? '' : readFileSync(join(folder, file), 'utf8') };
}

const APACHE = `On Debian systems the full text of the Apache License 2.0 is in
/usr/share/common-licenses/Apache-2.0.`;

/**
 * Returns the text of /usr/share/doc/PACKAGE/copyright: cellnet's own license, then those of what
 * its bundles contain. Debian has the text of Apache's license in a place of its own.
 */
export function copyrightText(bundled: readonly Bundled[]): string {
  const parts = bundled.map(({ name, version, license, text }) => {
    const isApache = license === 'Apache-2.0';
    const says = isApache || text === '' ? `License: ${license}` : text.replaceAll('\r', '').trim();
    return `${name} ${version} (${license})\n\n${says}\n`;
  });
  const rule = `\n${'-'.repeat(72)}\n\n`;
  return `cellnet

Copyright: the cellnet maintainers
License: Apache-2.0

Licensed under the Apache License, Version 2.0. ${APACHE}

The programs in /usr/lib/cellnet/lib are bundles. They contain the packages of
npm below, each under its own license. What is under Apache-2.0: see above.
${rule}${parts.join(rule)}`;
}

/** Tells what a dist/ lacks that a package must have. */
export const missingParts = (dist: string): string[] =>
  ['bin/cnictl', 'bin/cellnet', 'bin/cellnetd', 'lib/native', 'package.json'].filter(
    (path) => !existsSync(join(dist, path)),
  );
