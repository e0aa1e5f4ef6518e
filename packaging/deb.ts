/**
 * Makes the Debian package out of a dist/, with dpkg-deb(1). The same dist/ gives the same bytes:
 * all times are SOURCE_DATE_EPOCH, by default the date of debian/changelog.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { bundledPackages, copyrightText } from './copyright.ts';
import { changelogHead, debianArchitecture, debianVersion } from './debian-version.ts';

const ROOT = join(import.meta.dirname, '..');
const DEBIAN = join(import.meta.dirname, 'debian');
const LIB = 'usr/lib/cellnet';
const DOC = 'usr/share/doc/cellnet';
const UNITS = 'usr/lib/systemd/system';
/** In the PATH of operators. kubectl looks for the last two, its plugin and what completes it. */
const OPERATORS_PROGRAMS = ['cnictl', 'kubectl-cellnet', 'kubectl_complete-cellnet'];

export interface DebOptions {
  readonly dist: string;
  /** Empty folder for the content of the package. */
  readonly tree: string;
  /** Where the package goes. */
  readonly out: string;
  /** Node's name of the architecture whose addons are in the dist/. */
  readonly arch: string;
  /** Seconds since 1970. Default: the date of the changelog. */
  readonly epoch?: number;
  /** In the form of deb-changelog(5). Default: debian/changelog. */
  readonly changelog?: string;
  /** Default: NO_MAINTAINER. */
  readonly maintainer?: string;
  /** Of xz, 0 to 9. Default: that of dpkg-deb. */
  readonly level?: number;
}

export interface Deb {
  readonly file: string;
  /** What the dist/ does not have yet and a package could. */
  readonly lacks: readonly string[];
}

/** @throws Error when the changelog is of another version than the dist/ */
export function makeDeb({ dist, tree, out, arch, epoch, level, ...more }: DebOptions): Deb {
  const { version } = JSON.parse(readFileSync(join(dist, 'package.json'), 'utf8')) as { version: string };
  const changelog = more.changelog ?? readFileSync(join(DEBIAN, 'changelog'), 'utf8');
  const head = changelogHead(changelog);
  const revision = /-(\d+)$/.exec(head.version)?.[1] ?? '1';
  if (head.version !== debianVersion(version, Number(revision)))
    throw new Error(
      `packaging/debian/changelog begins with ${head.version}, but dist/ is of ${version}: expected ${debianVersion(version)}`,
    );
  const put = putInto(tree);
  putPrograms(dist, tree, arch);
  const lacks = putShare(dist, tree);
  for (const unit of ['cellnet-check.service', 'cellnet-serve.service'])
    put(`${UNITS}/${unit}`, readFileSync(join(DEBIAN, unit)));
  put(`${DOC}/copyright`, copyrightText(bundledPackages(dist, ROOT)));
  put(`${DOC}/changelog.Debian.gz`, zipped(changelog));
  put(`${DOC}/changelog.gz`, zipped(readFileSync(join(ROOT, 'CHANGELOG.md'))));
  put(`${DOC}/README.Debian`, readFileSync(join(DEBIAN, 'README.Debian')));
  cpSync(join(ROOT, 'docs/examples'), join(tree, DOC, 'examples'), { recursive: true });
  put('usr/share/lintian/overrides/cellnet', readFileSync(join(DEBIAN, 'lintian-overrides')));

  const architecture = debianArchitecture(arch);
  put(
    'DEBIAN/control',
    control(head.version, architecture, installedSize(tree), more.maintainer ?? NO_MAINTAINER),
  );
  put('DEBIAN/md5sums', md5sums(tree));
  for (const script of ['postinst', 'prerm', 'postrm'])
    put(`DEBIAN/${script}`, readFileSync(join(DEBIAN, script)), 0o755);
  const at = epoch ?? head.at;
  settle(tree, at);
  const file = join(out, `cellnet_${head.version}_${architecture}.deb`);
  mkdirSync(out, { recursive: true });
  execFileSync(
    'dpkg-deb',
    ['--root-owner-group', '-Zxz', ...(level === undefined ? [] : [`-z${level}`]), '--build', tree, file],
    {
      env: { ...process.env, SOURCE_DATE_EPOCH: String(at) },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  return { file, lacks };
}

const zipped = (content: string | Buffer): Buffer => gzipSync(content, { level: 9 });

const putInto =
  (tree: string) =>
  (path: string, content: string | Buffer, mode = 0o644): void => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content);
    chmodSync(join(tree, path), mode);
  };

/**
 * Puts the programs there without what only this machine's Node or another processor can use: V8
 * refuses a code cache of another Node, and two builds never have the same one.
 */
function putPrograms(dist: string, tree: string, arch: string): void {
  const isForOthers = (name: string): boolean =>
    /\.(cache|map)$/.test(name) || (name.endsWith('.node') && !name.endsWith(`-${arch}.node`));
  cpSync(dist, join(tree, LIB), {
    recursive: true,
    filter: (source) => source !== join(dist, 'share') && !isForOthers(basename(source)),
  });
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  for (const name of OPERATORS_PROGRAMS.filter((each) => existsSync(join(dist, 'bin', each))))
    symlinkSync(`../lib/cellnet/bin/${name}`, join(tree, 'usr/bin', name));
}

/** Puts man pages and completions there, and returns which of them the dist/ does not have. */
function putShare(dist: string, tree: string): string[] {
  const share = join(dist, 'share');
  if (!existsSync(share)) return ['man pages', 'completions'];
  cpSync(share, join(tree, 'usr/share'), { recursive: true });
  const man = join(tree, 'usr/share/man');
  for (const path of filesBelow(man).filter((each) => /\.[1-8]$/.test(each))) {
    writeFileSync(`${path}.gz`, zipped(readFileSync(path)));
    execFileSync('rm', [path]);
  }
  if (existsSync(join(man, 'man1/cnictl.1.gz')))
    for (const name of OPERATORS_PROGRAMS.slice(1).filter((each) => existsSync(join(dist, 'bin', each))))
      symlinkSync('cnictl.1.gz', join(man, `man1/${name}.1.gz`));
  const has = (pattern: RegExp): boolean =>
    filesBelow(join(tree, 'usr/share')).some((each) => pattern.test(each));
  return [
    ...(has(/\/man\/man\d\//) ? [] : ['man pages']),
    ...(has(/bash-completion|zsh|fish/) ? [] : ['completions']),
  ];
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => !lstatSync(path).isDirectory())
    .sort();
}

/** As dpkg-gencontrol(1) counts: each file in whole KiB, and 1 for all else. */
function installedSize(tree: string): number {
  const all = readdirSync(tree, { recursive: true, encoding: 'utf8' }).map((name) =>
    lstatSync(join(tree, name)),
  );
  return all.reduce((sum, each) => sum + (each.isFile() ? Math.ceil(each.size / 1024) : 1), 1);
}

const md5sums = (tree: string): string =>
  filesBelow(tree)
    .filter((path) => lstatSync(path).isFile() && !path.startsWith(join(tree, 'DEBIAN/')))
    .map(
      (path) =>
        `${createHash('md5').update(readFileSync(path)).digest('hex')}  ${path.slice(tree.length + 1)}\n`,
    )
    .join('');

/** Gives every file the mode and time that it has in the package. */
function settle(tree: string, at: number): void {
  const all = readdirSync(tree, { recursive: true, encoding: 'utf8' }).map((name) => join(tree, name));
  for (const path of [...all, tree]) {
    const stat = lstatSync(path);
    const isProgram = (stat.mode & 0o100) !== 0 && !path.endsWith('.node');
    if (!stat.isSymbolicLink()) chmodSync(path, stat.isDirectory() || isProgram ? 0o755 : 0o644);
    lutimesSync(path, at, at);
  }
}

/** Nobody has mail there: a builder of packages for others sets a name and address. */
export const NO_MAINTAINER = 'cellnet maintainers <maintainers@cellnet.invalid>';

/**
 * Returns the package's maintainer, by the variables of Debian's own tools (dch(1)).
 * @throws Error for a name or address that a control file cannot hold
 */
export function maintainerOf(env: Readonly<Record<string, string | undefined>>): string {
  const { DEBFULLNAME: name, DEBEMAIL: email } = env;
  if (!name && !email) return NO_MAINTAINER;
  if (!name || !/^[^<>,\p{Cc}]+$/u.test(name))
    throw new Error(`DEBFULLNAME is '${name ?? ''}': expected a name such as Network Team, beside DEBEMAIL`);
  if (!email || !/^[^\s<>@]+@[^\s<>@]+$/.test(email))
    throw new Error(
      `DEBEMAIL is '${email ?? ''}': expected an address such as network@example.org, beside DEBFULLNAME`,
    );
  return `${name} <${email}>`;
}

/** koffi's addon names the versions of glibc that it needs, and glibc 2.31 is the oldest tried. */
const control = (
  version: string,
  architecture: string,
  size: number,
  maintainer: string,
): string => `Package: cellnet
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer}
Installed-Size: ${size}
Depends: nodejs (>= 20), libc6 (>= 2.31), libgcc-s1 (>= 3.0), libstdc++6 (>= 5)
Recommends: openvswitch-switch, nftables
Suggests: etcd-client
Section: net
Priority: optional
Description: container network and IP address management for Kubernetes
 Every pod gets an address of its own on one large, flat layer-2 network.
 cellnet consists of a CNI plugin on Open vSwitch, an IPAM that keeps addresses
 in etcd, and the operator's tool cnictl, which finds leaked addresses and frees
 those and no others.
 .
 The package delivers cnictl and the programs of a node. The command "cnictl
 node install" puts them to use, switches a node to another version, and goes
 back.
`;
