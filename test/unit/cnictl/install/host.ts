/** A host in a temporary folder, for the tests of `node install` and `node uninstall`. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach } from 'node:test';
import { CliWorld, type Ran } from '../../../golden/world.ts';
import { makeDist } from '../../../support/dist.ts';

export const CONF = 'etc/cni/net.d/10-cell.conflist';
export const UNIT = 'etc/systemd/system/cellnetd.service';
export const MANIFEST = 'opt/cellnet/install.json';

export let folder: string;
export let root: string;
export let world: CliWorld;

/** Gives each test of the calling suite its own root, programs and world. */
export const anew = (): void => {
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cellnet-install-'));
    root = join(folder, 'root');
    mkdirSync(root);
    world = new CliWorld();
    world.dist = makeDist(join(folder, 'dist'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
};

export const install = (...more: string[]): Promise<Ran> =>
  world.run(['node', 'install', '--root', root, ...more]);
export const uninstall = (...more: string[]): Promise<Ran> =>
  world.run(['node', 'uninstall', '--root', root, ...more]);
export const mustInstall = async (...more: string[]): Promise<string> => {
  const { status, stdout, stderr } = await install(...more);
  assert.equal(status, 0, stderr);
  return stdout;
};
export const read = (path: string): string => readFileSync(join(root, path), 'utf8');
export const put = (path: string, content: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
};
export const everything = (): string[] => readdirSync(root, { recursive: true, encoding: 'utf8' }).sort();
export const versions = (): string[] => readdirSync(join(root, 'opt/cellnet/versions'));
export const NOTHING_TO_DO = /^cellnet 1\.2\.3-[0-9a-f]{12} is installed: nothing to do\n$/;
