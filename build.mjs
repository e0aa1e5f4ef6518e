/**
 * Bundles each program into one CommonJS file. dist/ then needs no node_modules: it can be copied
 * anywhere and run through a symlink such as /opt/cni/bin/cellnet.
 *
 *     dist/lib/NAME.js            one bundle each, with a source map (`node --enable-source-maps`)
 *     dist/lib/native/*.node      native addons, named by package and architecture
 *     dist/lib/web/*              the page of `cnictl serve`, for browsers
 *     dist/bin/NAME               executables; Node resolves symlinks, so `../lib` is right
 *     dist/bin/kubectl-cellnet    cnictl as a plugin of kubectl
 *     dist/share/                 completions of shells and manual pages, as packages install them
 *     dist/package.json           the version, from which `cnictl node install` names its copy
 *     dist/libexec/NAME           the Node plugin, when dist/bin/NAME is the launcher, which hands
 *                                 its call to the agent
 *
 * Three packages load files from their own folder at run time, which a bundle does not have. A
 * plugin for each rewrites that: netlink (node-gyp-build), koffi (its own search), etcd3 (parses
 * .proto files at every start).
 */
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { writeWarmCache } from './warm-up.mjs';

const ROOT = dirname(fileURLToPath(import.meta.url));
const DIST = join(ROOT, 'dist');
/** Built beside dist/ and renamed to it when complete: a failed build leaves dist/ intact. */
const FRESH = join(ROOT, `dist.${process.pid}`);

/**
 * bin: operators and runtimes start it by name; our own programs start the others. launched: the
 * launcher starts it when a C compiler exists. livesOn: it serves many calls, see LIVING.
 */
const PROGRAMS = [
  { name: 'cellnet', entry: 'cni/main.ts', bin: true, launched: true },
  { name: 'cellnet-ipam', entry: 'cni/ipam-main.ts', bin: true, launched: true },
  { name: 'cellnetd', entry: 'cni/agent-main.ts', bin: true, livesOn: true },
  { name: 'cellnet-announce', entry: 'cni/announce-main.ts', bin: false },
  { name: 'cnictl', entry: 'cnictl/main.ts', bin: true },
  { name: 'cnictl-uplink-guard', entry: 'cnictl/uplink-guard-main.ts', bin: false },
];

/**
 * Node's settings for a long-running program with a small heap and little work
 * (docs/decisions/0019). A limit far above the need makes V8 keep the heap small on a machine with
 * much memory. One arena of the C library for all threads saves 9 MB. The program itself sets V8's
 * flags, because a flag that a later version does not know is then only a line on stderr. The flag
 * compiles a function to machine code at its first call, but only hot code is optimized.
 */
const LIVING = {
  command: '-S MALLOC_ARENA_MAX=1 node --max-old-space-size=256 --max-semi-space-size=4 --expose-gc',
  v8: '--always-sparkplug',
  /** When a start is over. What it leaves is collected then: V8 would wait for the heap to grow. */
  startedMs: 2_000,
};

const require = createRequire(import.meta.url);
const { version: VERSION } = require('./package.json');
const packageDir = (name, from = require) => dirname(from.resolve(`${name}/package.json`));
const koffiPackages = join(dirname(require.resolve('koffi')), '../@koromix');

/** Replaces `pattern` once. Stops the build when a new version of the package no longer has it. */
const replaceOnce = (source, pattern, replacement, where) => {
  if (!pattern.test(source)) throw new Error(`${where} has changed: build.mjs expected ${pattern} in it`);
  return source.replace(pattern, () => replacement);
};

/** Computed, so that esbuild leaves the require alone. `__dirname` is dist/lib at run time. */
const addon = (name) => `require(__dirname + '/native/${name}-' + process.arch + '.node')`;

const netlinkAddon = {
  name: 'netlink-addon',
  setup({ onLoad }) {
    onLoad({ filter: /node_modules\/netlink\/dist\/raw\.js$/ }, ({ path }) => ({
      loader: 'js',
      contents: replaceOnce(
        readFileSync(path, 'utf8'),
        /require\('node-gyp-build'\)\(__dirname \+ '\/\.\.'\)/,
        addon('netlink'),
        path,
      ),
    }));
  },
};

/**
 * The addon has koffi's whole interface. koffi's JavaScript only searches for it and adds
 * deprecated names.
 */
const koffiAddon = {
  name: 'koffi-addon',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^koffi$/ }, () => ({ path: 'koffi', namespace: 'addon' }));
    onLoad({ filter: /^koffi$/, namespace: 'addon' }, () => ({
      contents: `module.exports = ${addon('koffi')};`,
    }));
  },
};

/**
 * At each start, etcd3 hands its .proto files to @grpc/proto-loader, which parses them and builds
 * descriptors of every message for a reflection service that a client does not have. This plugin
 * parses them once, at build time. At run time only the service table is built, and a message's
 * codec at its first use. The codec options are etcd3's own.
 */
const etcdProtocol = {
  name: 'etcd-protocol',
  setup({ onResolve, onLoad }) {
    const etcd3 = packageDir('etcd3');
    const loader = packageDir('@grpc/proto-loader', createRequire(join(etcd3, 'package.json')));
    const protobuf = createRequire(join(loader, 'package.json'))('protobufjs');

    onLoad({ filter: /etcd3\/lib\/connection-pool\.js$/ }, ({ path }) => {
      const source = readFileSync(path, 'utf8');
      const options = /loadSync\)\(`\$\{__dirname\}\/\.\.\/proto\/rpc\.proto`, (\{[^}]*\})\)/.exec(
        source,
      )?.[1];
      const expected = '{keepCase:true,longs:String,enums:String,defaults:true,oneofs:true,}';
      if (options?.replace(/\s/g, '') !== expected)
        throw new Error(`${path}: expected the codec options ${expected}`);
      const withTable = replaceOnce(
        source,
        /\(0, proto_loader_1\.loadSync\)\([^)]*\)/,
        `require('etcd-protocol')`,
        path,
      );
      return {
        loader: 'js',
        contents: replaceOnce(
          withTable,
          /const proto_loader_1 = require\("@grpc\/proto-loader"\);/,
          '',
          path,
        ),
      };
    });
    onResolve({ filter: /^etcd-protocol$/ }, ({ path }) => ({ path, namespace: 'generated' }));
    onLoad({ filter: /^etcd-protocol$/, namespace: 'generated' }, () => {
      const root = new protobuf.Root();
      root.resolvePath = (_origin, target) => join(etcd3, 'proto', target);
      root.loadSync('rpc.proto', { keepCase: true }).resolveAll();
      return { resolveDir: loader, loader: 'js', contents: protocolTable(root, protobuf) };
    });
  },
};

/**
 * Keeps only the configuration part of the Kubernetes client. Its imports for the generated API
 * would add 1 MB and 35 ms of start-up.
 */
const kubeConfigOnly = {
  name: 'kube-config-only',
  setup({ onLoad }) {
    onLoad({ filter: /client-node\/dist\/config\.js$/ }, ({ path }) => {
      const unused = [
        /import \{ createConfiguration, ServerConfiguration, \} from '\.\/gen\/index\.js';/,
        /import \{ Headers \} from 'node-fetch';/,
      ];
      const source = readFileSync(path, 'utf8');
      return {
        loader: 'js',
        contents: unused.reduce((text, line) => replaceOnce(text, line, '', path), source),
      };
    });
  },
};

/** Returns the message and enum types that a service's methods reach, as a protobufjs JSON root. */
const typesOf = (service, protobuf) => {
  const reached = new Set();
  const reach = (type) => {
    if (reached.has(type)) return;
    reached.add(type);
    for (const { resolvedType } of type.fieldsArray ?? []) if (resolvedType) reach(resolvedType);
    if (type.parent instanceof protobuf.Type) reach(type.parent);
  };
  for (const method of service.methodsArray) {
    reach(method.resolvedRequestType);
    reach(method.resolvedResponseType);
  }
  const namespaces = {};
  for (const type of reached) {
    if (type.parent instanceof protobuf.Type) continue;
    const namespace = type.parent.fullName.slice(1);
    (namespaces[namespace] ??= { nested: {} }).nested[type.name] = type.toJSON();
  }
  return { nested: namespaces };
};

/**
 * Returns the source of a gRPC package definition (name of a service → its methods), as
 * loadPackageDefinition of @grpc/grpc-js takes it.
 */
const protocolTable = (root, protobuf) => {
  const services = root
    .lookup('etcdserverpb')
    .nestedArray.filter((entry) => entry instanceof protobuf.Service);
  const table = services.map((service) => ({
    name: service.fullName.slice(1),
    types: JSON.stringify(typesOf(service, protobuf)),
    methods: service.methodsArray.map((method) => ({
      name: method.name,
      request: method.resolvedRequestType.fullName,
      response: method.resolvedResponseType.fullName,
      requestStream: Boolean(method.requestStream),
      responseStream: Boolean(method.responseStream),
    })),
  }));
  return `
const protobuf = require('protobufjs/light');
// protobufjs looks for "long" by an eval that finds nothing in a bundle, and then rounds lease numbers above 2^53.
protobuf.util.Long = require('long');
protobuf.configure();
const asEtcd3Expects = { longs: String, enums: String, defaults: true, oneofs: true };
const lazily = (make) => {
  let value;
  return () => (value ??= make());
};
const serialize = (type) => (message) => type().encode(type().fromObject(message)).finish();
const deserialize = (type) => (bytes) => type().toObject(type().decode(bytes), asEtcd3Expects);
for (const { name, types, methods } of ${JSON.stringify(table)}) {
  const root = lazily(() => protobuf.Root.fromJSON(JSON.parse(types)));
  const definition = {};
  for (const { name: method, request, response, requestStream, responseStream } of methods) {
    const requestType = lazily(() => root().lookupType(request));
    const responseType = lazily(() => root().lookupType(response));
    definition[method] = {
      path: '/' + name + '/' + method,
      requestStream,
      responseStream,
      requestSerialize: serialize(requestType),
      requestDeserialize: deserialize(requestType),
      responseSerialize: serialize(responseType),
      responseDeserialize: deserialize(responseType),
      originalName: method[0].toLowerCase() + method.slice(1),
    };
  }
  exports[name] = definition;
}
`;
};

/** Node prints the line of an uncaught error: without a limit that would be half a megabyte. */
const LINE_LIMIT = 120;

/**
 * V8 keeps the text of a program as long as it runs: in one byte for each character, or in two when
 * a single character needs them. Comments have such characters, so bundles are without comments.
 */
const assertAscii = (name) => {
  const text = readFileSync(join(FRESH, 'lib', `${name}.js`), 'utf8');
  const found = /[^\0-\x7f]/.exec(text);
  if (found) throw new Error(`lib/${name}.js has '${found[0]}', which doubles the memory of its text`);
};

const bundle = ({ name, entry }) =>
  build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    outfile: join(FRESH, 'lib', `${name}.js`),
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    minifySyntax: true,
    minifyWhitespace: true,
    lineLimit: LINE_LIMIT,
    define: { 'import.meta.dirname': '__dirname', CELLNET_VERSION: JSON.stringify(VERSION) },
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [netlinkAddon, koffiAddon, etcdProtocol, kubeConfigOnly],
  });

/** The page of `cnictl serve`: its sources are cnictl/page/. */
const buildPage = async () => {
  const web = join(FRESH, 'lib', 'web');
  mkdirSync(web, { recursive: true });
  for (const file of ['index.html', 'icon.svg'])
    copyFileSync(join(ROOT, 'cnictl/page', file), join(web, file));
  await build({
    absWorkingDir: ROOT,
    entryPoints: { page: 'cnictl/page/main.ts', 'page.style': 'cnictl/page/page.css' },
    entryNames: '[name]',
    outdir: web,
    bundle: true,
    format: 'iife',
    target: ['chrome116', 'firefox124', 'safari17.4'],
    minify: true,
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'warning',
  });
  renameSync(join(web, 'page.style.css'), join(web, 'page.css'));
};

/** netlink ships every architecture. npm installs koffi's addon only for the one it runs on. */
const copyAddons = () => {
  const native = join(FRESH, 'lib', 'native');
  mkdirSync(native, { recursive: true });
  const prebuilds = join(packageDir('netlink'), 'prebuilds');
  for (const platform of readdirSync(prebuilds)) {
    const file = join(prebuilds, platform, 'node.napi.node');
    copyFileSync(file, join(native, `netlink-${platform.replace('linux-', '')}.node`));
  }
  const koffiFiles = ['x64', 'arm64', 'arm', 'ia32', 'riscv64', 'loong64', 'ppc64'].flatMap((arch) => {
    const dir = join(koffiPackages, `koffi-linux-${arch}`);
    const variant = existsSync(dir)
      ? readdirSync(dir).find((entry) => entry.startsWith('linux_'))
      : undefined;
    return variant === undefined ? [] : [{ arch, file: join(dir, variant, 'koffi.node') }];
  });
  if (koffiFiles.length === 0)
    throw new Error('no koffi addon in node_modules/@koromix: run npm ci on Linux');
  for (const { arch, file } of koffiFiles) copyFileSync(file, join(native, `koffi-${arch}.node`));
};

/**
 * A newer Node deprecates what the packages use, which tells an operator nothing. All other
 * warnings of Node stay.
 */
const NO_DEPRECATIONS = 'if (!process.env.CELLNET_DEBUG) process.noDeprecation = true;';

const asFunction = (code) => `(function (exports, require, module, __filename, __dirname) {${code}\n})`;

/**
 * Returns an executable that compiles the bundle with V8's code cache beside it. Finding the
 * functions in a megabyte of text costs 10 ms a start, reading them from the cache 1 ms. V8 refuses
 * a cache of another V8 version, and compiles as usual.
 */
const launcher = (name) => `#!/usr/bin/env node
'use strict';
${NO_DEPRECATIONS}
const { readFileSync } = require('node:fs');
const { Script, constants } = require('node:vm');
const filename = require('node:path').join(__dirname, '../lib/${name}.js');
const asFunction = ${asFunction};
const source = asFunction(readFileSync(filename, 'utf8'));
let cachedData;
try {
  cachedData = readFileSync(filename + '.cache');
} catch {
  // It only saves time.
}
const importModuleDynamically = constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER;
const script = new Script(source, { filename: '${name}.js', cachedData, importModuleDynamically });
const requireInLib = require('node:module').createRequire(filename);
script.runInThisContext()(exports, requireInLib, module, filename, require('node:path').dirname(filename));
`;

/**
 * Returns the executable of a program that lives on. It has no code cache, so Node loads the
 * bundle, without the copies of its text that a Script costs. V8's flags come after that: machine
 * code of what runs once, at the start, would only take memory.
 */
const livingLauncher = (name) => `#!/usr/bin/env ${LIVING.command}
'use strict';
${NO_DEPRECATIONS}
require('../lib/${name}.js');
require('node:v8').setFlagsFromString('${LIVING.v8}');
setTimeout(globalThis.gc, ${LIVING.startedMs}).unref();
`;

/**
 * Compiles what the runtime executes while an agent runs: a small static program (cni/launcher/).
 * Without a C compiler the runtime executes the Node plugin, which also asks the agent, but takes
 * as long to start as Node does.
 */
const compileLauncher = (name) => {
  const hardened = ['-O2', '-D_FORTIFY_SOURCE=2', '-fstack-protector-strong', '-Wl,-z,relro,-z,now', '-s'];
  const folder = join(ROOT, 'cni/launcher');
  const sources = readdirSync(folder)
    .filter((file) => file.endsWith('.c'))
    .map((file) => join(folder, file));
  const output = join(FRESH, 'bin', name);
  const names = [`-DPLUGIN="${name}"`, `-DVERSION="${VERSION}"`];
  const compile = ({ command, before = [], after = [] }) =>
    spawnSync(
      command,
      ['-Wall', '-Wextra', ...hardened, ...names, '-o', output, ...before, ...sources, ...after],
      { encoding: 'utf8' },
    );
  const musl = process.env.CC === undefined ? muslCompiler() : undefined;
  if (musl && compile(musl).status === 0 && starts(output)) return true;
  const { status, error, stderr } = compile({ command: process.env.CC ?? 'cc', before: ['-static-pie'] });
  if (status === 0) return true;
  console.error(`no launcher for ${name}: ${error?.code === 'ENOENT' ? 'there is no C compiler' : stderr}`);
  return false;
};

/** Tells whether the program runs: without input, agent and Node, it exits without a signal. */
const starts = (program) => {
  const env = { CELLNET_AGENT: '/nonexistent', PATH: '' };
  const { error, signal } = spawnSync(program, [], { env, input: '', timeout: 5_000 });
  return !error && signal === null;
};

/**
 * Finds Debian's musl-tools. musl-gcc does not support -static-pie and would link against musl's
 * loader, so this names the start files. A program with musl starts in 0.2 ms instead of 0.6 ms,
 * because the start of the GNU C library touches four times as many pages.
 */
const muslCompiler = () => {
  const machine = spawnSync('cc', ['-dumpmachine'], { encoding: 'utf8' }).stdout?.trim() ?? '';
  const file = (name) => join('/usr/lib', machine.replace(/-gnu$/, '-musl'), name);
  if (!machine.endsWith('-gnu') || !existsSync(file('rcrt1.o'))) return undefined;
  const before = ['-fPIE', '-static', '-nostartfiles', '-Wl,-pie,--no-dynamic-linker,-z,text'];
  return {
    command: 'musl-gcc',
    before: [...before, file('rcrt1.o'), file('crti.o')],
    after: [file('crtn.o')],
  };
};

/**
 * Writes the code cache. A launched plugin's cache has what a call compiles; cnictl's has only the
 * start. The agent gets no cache.
 */
const writeCache = async ({ name, launched, livesOn }) => {
  // LIVING's V8 flags would make V8 refuse a cache from this process.
  if (livesOn) return;
  const bundleFile = join(FRESH, 'lib', `${name}.js`);
  if (launched) {
    try {
      return await writeWarmCache(bundleFile, asFunction);
    } catch (error) {
      console.error(`${name} will start more slowly: its code cache cannot be warmed up: ${error.message}`);
    }
  }
  const script = new Script(asFunction(readFileSync(bundleFile, 'utf8')), { filename: `${name}.js` });
  writeFileSync(`${bundleFile}.cache`, script.createCachedData());
};

const writeExecutable = ({ name, launched, livesOn }) => {
  mkdirSync(join(FRESH, 'bin'), { recursive: true });
  mkdirSync(join(FRESH, 'libexec'), { recursive: true });
  const folder = launched && compileLauncher(name) ? 'libexec' : 'bin';
  const file = join(FRESH, folder, name);
  writeFileSync(file, livesOn ? livingLauncher(name) : launcher(name));
  chmodSync(file, 0o755);
};

/** The names by which kubectl finds cnictl as its plugin, and the plugin's completion. */
const PLUGIN = ['kubectl-cellnet', 'kubectl_complete-cellnet'];

const writePlugin = () => {
  for (const name of PLUGIN) {
    writeFileSync(join(FRESH, 'bin', name), launcher('cnictl'));
    chmodSync(join(FRESH, 'bin', name), 0o755);
  }
};

/** cnictl makes its completions and manual pages from its own commands. */
const writeShare = () => {
  const argv = [join(FRESH, 'bin/cnictl'), '__manual'];
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cnictl cannot print its manual: ${stderr}`);
  for (const [path, text] of Object.entries(JSON.parse(stdout))) {
    mkdirSync(dirname(join(FRESH, 'share', path)), { recursive: true });
    writeFileSync(join(FRESH, 'share', path), text);
  }
};

const present = PROGRAMS.filter(({ entry }) => existsSync(join(ROOT, entry)));
const missing = PROGRAMS.filter((program) => !present.includes(program));
try {
  copyAddons();
  // The agent speaks sd_notify(3): `cnictl node install` writes the unit accordingly.
  const identity = { name: 'cellnet', version: VERSION, type: 'commonjs', cellnet: { notifies: true } };
  writeFileSync(join(FRESH, 'package.json'), `${JSON.stringify(identity)}\n`);
  await Promise.all([...present.map(bundle), buildPage()]);
  for (const { name } of present) assertAscii(name);
  const started = present.filter(({ bin }) => bin);
  started.forEach(writeExecutable);
  for (const program of started) await writeCache(program);
  if (started.some(({ name }) => name === 'cnictl')) {
    writePlugin();
    writeShare();
  }
  rmSync(DIST, { recursive: true, force: true });
  renameSync(FRESH, DIST);
} finally {
  rmSync(FRESH, { recursive: true, force: true });
}
console.log(`built ${present.map(({ name }) => name).join(', ') || 'nothing'} into dist/`);
if (missing.length > 0) {
  console.error(
    `not built: ${missing.map(({ name, entry }) => `${name} (there is no ${entry})`).join(', ')}`,
  );
  process.exitCode = 1;
}
