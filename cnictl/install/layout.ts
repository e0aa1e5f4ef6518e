import { basename, dirname, join, relative, resolve } from 'node:path';
import { CommandError } from '../context/errors.ts';
import type { Look } from '../context/file-access.ts';

export const DEFAULT_BIN_DIR = '/opt/cni/bin';
export const DEFAULT_LIB_DIR = '/opt/cellnet';
export const DEFAULT_CONF = '/etc/cni/net.d/10-cell.conflist';
export const UNIT = '/etc/systemd/system/cellnetd.service';
/** Where people and systemd look for programs. */
const PROGRAM_DIR = '/usr/local/bin';

/** Where everything goes, as the node sees it: without the prefix of `--root`. */
export interface Layout {
  readonly binDir: string;
  readonly libDir: string;
  readonly conf: string;
}

/** @throws CommandError for a path that is not absolute: the node would look for it somewhere else */
export function checkAbsolute(option: string, path: string): string {
  if (path.startsWith('/')) return resolve(path);
  throw new CommandError(`${option} '${path}': expected an absolute path`, `Such as ${DEFAULT_LIB_DIR}.`);
}

export const versionsOf = ({ libDir }: Pick<Layout, 'libDir'>): string => join(libDir, 'versions');
export const currentOf = ({ libDir }: Pick<Layout, 'libDir'>): string => join(libDir, 'current');
export const manifestOf = ({ libDir }: Pick<Layout, 'libDir'>): string => join(libDir, 'install.json');

/** The programs by the paths where they are looked for, each to be a link to its file of the current version. */
export function programLinks(layout: Layout): { path: string; target: string }[] {
  const to = (folder: string) => (name: string) => ({
    path: join(folder, name),
    target: join(currentOf(layout), 'bin', name),
  });
  return [
    ...['cellnet', 'cellnet-ipam'].map(to(layout.binDir)),
    ...['cnictl', 'cellnetd'].map(to(PROGRAM_DIR)),
  ];
}

/** A node's file system, which `--root` may have put below a folder. Paths are those that the node sees. */
export class Tree {
  readonly root: string;
  readonly #look: Look;

  constructor(root: string, look: Look) {
    this.root = root;
    this.#look = look;
  }

  /** The path from here. */
  at(path: string): string {
    return join(this.root, path);
  }

  /**
   * The path from here with links followed as far as it exists.
   * @throws CommandError where a link leads out of the root: another machine's files would be meant
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

  /** The folders that are missing on the way to a path, itself included, outermost first. */
  missing(path: string): string[] {
    if (this.#look.kind(this.at(path)) !== undefined || dirname(path) === path) return [];
    return [...this.missing(dirname(path)), path];
  }

  /** What a link at `path` says to lead to `target`: relative, so that it holds seen from here and from the node. */
  relativeTarget(path: string, target: string, base: string): string {
    return relative(this.real(dirname(path)), join(this.real(base), relative(base, target)));
  }

  /** Whether a link at `path` leads into a folder, by what it says. */
  leadsInto(path: string, folder: string): boolean {
    const says = this.#look.readLink(this.at(path));
    const from = says.startsWith('/') ? this.at(says) : resolve(this.real(dirname(path)), says);
    return isWithin(this.real(folder), from) || isWithin(this.at(folder), from);
  }
}

const isWithin = (folder: string, path: string): boolean =>
  folder === '/' || path === folder || path.startsWith(`${folder}/`);
