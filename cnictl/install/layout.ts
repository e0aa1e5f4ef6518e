import { basename, dirname, join, relative, resolve } from 'node:path';
import { CommandError } from '../context/errors.ts';
import type { Look } from '../context/file-access.ts';

export const DEFAULT_BIN_DIR = '/opt/cni/bin';
export const DEFAULT_LIB_DIR = '/opt/cellnet';
/** Name of the network file in the runtime's folder. */
export const CONF_NAME = '10-cell.conflist';
export const DEFAULT_CONF_DIR = '/etc/cni/net.d';
export const DEFAULT_CONF = join(DEFAULT_CONF_DIR, CONF_NAME);
export const UNIT = '/etc/systemd/system/cellnetd.service';
/**
 * Suffix of a file that an operator edited and that is out of use. The runtime does not read it: it
 * reads *.conf, *.conflist and *.json.
 */
export const ASIDE = '.saved';
/**
 * Where the Debian package puts a dist/. It delivers: `node install` copies it to the node's
 * versions, and owns all that the runtime and systemd use.
 */
export const PACKAGED = '/usr/lib/cellnet';
/** Where operators and systemd look for programs. */
export const DEFAULT_PROGRAM_DIR = '/usr/local/bin';

/** Paths of an installation as the node sees them, without the prefix of `--root`. */
export interface Layout {
  readonly binDir: string;
  readonly libDir: string;
  readonly conf: string;
  /** Undefined: no links for operators. */
  readonly programDir: string | undefined;
}

/** @throws CommandError for a relative path, which the node would resolve differently */
export function checkAbsolute(option: string, path: string): string {
  if (path.startsWith('/')) return resolve(path);
  throw new CommandError(`${option} '${path}': expected an absolute path`, `Such as ${DEFAULT_LIB_DIR}.`);
}

export const versionsOf = ({ libDir }: Pick<Layout, 'libDir'>): string => join(libDir, 'versions');
export const currentOf = ({ libDir }: Pick<Layout, 'libDir'>): string => join(libDir, 'current');
export const manifestOf = ({ libDir }: Pick<Layout, 'libDir'>): string => join(libDir, 'install.json');

/** Returns the paths of the programs, each to become a link to its file of the current version. */
export function programLinks(layout: Layout): { path: string; target: string }[] {
  const { programDir } = layout;
  const to = (folder: string) => (name: string) => ({
    path: join(folder, name),
    target: join(currentOf(layout), 'bin', name),
  });
  return [
    ...['cellnet', 'cellnet-ipam'].map(to(layout.binDir)),
    ...(programDir === undefined ? [] : ['cnictl', 'cellnetd'].map(to(programDir))),
  ];
}

/** A node's file system, which `--root` may have put below a folder. Paths are the node's own. */
export class Tree {
  readonly root: string;
  readonly #look: Look;

  constructor(root: string, look: Look) {
    this.root = root;
    this.#look = look;
  }

  /** Returns the path as seen from this process. */
  at(path: string): string {
    return join(this.root, path);
  }

  /**
   * Returns the path as seen from this process, with links followed as far as it exists.
   * @throws CommandError when a link leads out of the root, because it means a file of another
   *   machine
   */
  real(path: string): string {
    const full = this.at(path);
    if (this.#look.kind(full) === undefined) {
      if (dirname(path) === path) throw new CommandError(`--root '${this.root}' does not exist`);
      return join(this.real(dirname(path)), basename(path));
    }
    const real = this.#look.realPath(full);
    if (isWithin(this.#look.realPath(this.root), real)) return real;
    throw new CommandError(
      `'${full}' leads to '${real}', out of --root ${this.root}`,
      'Name the folder that it leads to, or mount that folder there.',
    );
  }

  /** Returns the missing folders on the way to a path, itself included, outermost first. */
  missing(path: string): string[] {
    if (this.#look.kind(this.at(path)) !== undefined || dirname(path) === path) return [];
    return [...this.missing(dirname(path)), path];
  }

  /**
   * Returns the text of a link at `path` to `target`. It is relative, so that it holds for this
   * process and for the node.
   */
  relativeTarget(path: string, target: string, base: string): string {
    return relative(this.real(dirname(path)), join(this.real(base), relative(base, target)));
  }

  /** Tells from the link's text whether a link at `path` leads into a folder. */
  leadsInto(path: string, folder: string): boolean {
    const says = this.#look.readLink(this.at(path));
    const from = says.startsWith('/') ? this.at(says) : resolve(this.real(dirname(path)), says);
    return isWithin(this.real(folder), from) || isWithin(this.at(folder), from);
  }
}

export const isWithin = (folder: string, path: string): boolean =>
  folder === '/' || path === folder || path.startsWith(`${folder}/`);
