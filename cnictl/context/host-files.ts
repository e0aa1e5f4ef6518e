import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { hasCode, messageOf } from '../../ipam/model/errors.ts';
import { CommandError } from './errors.ts';
import type { Files, Kind } from './file-access.ts';

/** Returns the name of an unfinished file or folder next to its final path. */
const beside = (path: string): string => `${path}.${process.pid}.tmp`;

/**
 * Returns `otherwise`'s value when the error has one of its codes.
 * @throws CommandError that names path and reason for any other error
 */
function attempt<T>(what: string, path: string, work: () => T, otherwise?: [codes: string[], value: T]): T {
  try {
    return work();
  } catch (error) {
    if (otherwise && hasCode(error, ...otherwise[0])) return otherwise[1];
    const reason = messageOf(error);
    throw new CommandError(`'${path}' cannot be ${what}: ${reason}`, '', { cause: error });
  }
}

const ABSENT = ['ENOENT', 'ENOTDIR'];

function kindOf(path: string): Kind {
  const stats = lstatSync(path);
  if (stats.isSymbolicLink()) return 'link';
  if (stats.isDirectory()) return 'folder';
  return stats.isFile() ? 'file' : 'other';
}

/** Returns the sorted relative paths of the regular files below a folder. Follows links. */
const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(folder, path)).isFile())
    .sort();

const isExecutable = (path: string): boolean => (statSync(path).mode & constants.S_IXUSR) !== 0;

function digestOf(folder: string): string {
  const hash = createHash('sha256');
  for (const path of filesBelow(folder)) {
    const content = readFileSync(join(folder, path));
    hash.update(`${path}\0${isExecutable(join(folder, path)) ? 'x' : '-'}\0${content.length}\0`);
    hash.update(content);
  }
  return hash.digest('hex');
}

/** access(2) reports a read-only file system to every user, also to root. */
function isReadOnly(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return false;
  } catch (error) {
    return hasCode(error, 'EROFS');
  }
}

function sync(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function copyFiles(from: string, to: string): void {
  for (const path of filesBelow(from)) {
    const copy = join(to, path);
    mkdirSync(dirname(copy), { recursive: true, mode: 0o755 });
    copyFileSync(join(from, path), copy);
    chmodSync(copy, isExecutable(join(from, path)) ? 0o755 : 0o644);
    sync(copy);
  }
  sync(to);
}

function copyFolder(from: string, to: string): void {
  const fresh = beside(to);
  const old = `${beside(to)}.old`;
  try {
    mkdirSync(fresh, { mode: 0o755 });
    copyFiles(from, fresh);
    attempt('moved', to, () => renameSync(to, old), [ABSENT, undefined]);
    renameSync(fresh, to);
    sync(dirname(to));
  } finally {
    for (const left of [fresh, old]) rmSync(left, { recursive: true, force: true });
  }
}

function link(target: string, path: string): void {
  const fresh = beside(path);
  rmSync(fresh, { force: true });
  symlinkSync(target, fresh);
  renameSync(fresh, path);
  sync(dirname(path));
}

function write(path: string, content: string, mode = 0o644): void {
  const fresh = beside(path);
  try {
    writeFileSync(fresh, content, { mode });
    chmodSync(fresh, mode);
    sync(fresh);
    renameSync(fresh, path);
    sync(dirname(path));
  } finally {
    rmSync(fresh, { force: true });
  }
}

function removeFolder(path: string): boolean {
  rmdirSync(path);
  return true;
}

/** The files of this host. */
export const realFiles: Files = {
  kind: (path) => attempt('looked at', path, () => kindOf(path), [ABSENT, undefined]),
  read: (path) => attempt('read', path, () => readFileSync(path, 'utf8'), [ABSENT, undefined]),
  readLink: (path) => attempt('read', path, () => readlinkSync(path)),
  list: (path) => attempt('listed', path, () => readdirSync(path).sort(), [ABSENT, []]),
  realPath: (path) => attempt('followed', path, () => realpathSync(path)),
  isReadOnly,
  digest: (folder) => attempt('read', folder, () => digestOf(folder)),
  makeFolder: (path) =>
    attempt('made', path, () => mkdirSync(path, { mode: 0o755 }), [['EEXIST'], undefined]),
  copyFolder: (from, to) => attempt('copied', to, () => copyFolder(from, to)),
  link: (target, path) => attempt('linked', path, () => link(target, path)),
  write: (path, content, mode) => attempt('written', path, () => write(path, content, mode)),
  rename: (from, to) => attempt('moved', from, () => renameSync(from, to)),
  remove: (path) => attempt('removed', path, () => rmSync(path, { recursive: true, force: true })),
  removeIfEmpty: (path) =>
    attempt('removed', path, () => removeFolder(path), [['ENOTEMPTY', 'EEXIST', 'EBUSY', ...ABSENT], false]),
};
