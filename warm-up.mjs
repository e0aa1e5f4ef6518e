/**
 * Makes V8's code cache of a bundle with the functions that a call needs. V8 compiles a function
 * when it is first called, and a cache holds what was compiled by then. So this runs a plugin once:
 * a DEL of a pod that never existed, against an empty etcd and an empty Open vSwitch. A build has
 * neither, so this module serves the few answers that the DEL needs.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

// The versions that etcd3 uses.
const ofEtcd3 = createRequire(createRequire(import.meta.url).resolve('etcd3/package.json'));
const grpc = ofEtcd3('@grpc/grpc-js');
const { loadSync } = ofEtcd3('@grpc/proto-loader');

const DEADLINE_MS = 30_000;

/**
 * Returns code that runs the bundle as the launcher of build.mjs does, with the same `asFunction`.
 */
const runner = (bundle, cache, asFunction) => `
const { readFileSync, writeFileSync } = require('node:fs');
const { Script, constants } = require('node:vm');
const source = (${asFunction})(readFileSync(${JSON.stringify(bundle)}, 'utf8'));
const importModuleDynamically = constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER;
const filename = require('node:path').basename(${JSON.stringify(bundle)});
const script = new Script(source, { filename, importModuleDynamically });
process.on('exit', () => writeFileSync(${JSON.stringify(cache)}, script.createCachedData()));
const requireInLib = require('node:module').createRequire(${JSON.stringify(bundle)});
script.runInThisContext()({}, requireInLib, {}, ${JSON.stringify(bundle)}, ${JSON.stringify(dirname(bundle))});
`;

/**
 * Serves an etcd without keys.
 * @returns its endpoint and a close function
 */
const emptyEtcd = async () => {
  const proto = join(
    dirname(createRequire(import.meta.url).resolve('etcd3/package.json')),
    'proto/rpc.proto',
  );
  const { etcdserverpb } = grpc.loadPackageDefinition(loadSync(proto, { keepCase: true }));
  const server = new grpc.Server();
  const header = { revision: 1 };
  server.addService(etcdserverpb.KV.service, {
    Range: (_call, answer) => answer(null, { header, kvs: [], count: 0 }),
    Txn: ({ request }, answer) =>
      answer(null, {
        header,
        succeeded: true,
        responses: request.success.map(() => ({ response_range: { header, kvs: [], count: 0 } })),
      }),
  });
  const port = await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { endpoint: `http://127.0.0.1:${port}`, close: () => server.forceShutdown() };
};

/** Serves an Open vSwitch database without rows. */
const emptyOvsdb = (path) =>
  new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (data) => {
        const { id, params } = JSON.parse(data.toString());
        const result = params.slice(1).map(() => ({ rows: [] }));
        socket.write(JSON.stringify({ id, result, error: null }));
      });
    });
    server.listen(path, () => resolve({ close: () => server.close() }));
  });

const runOnce = (code, env, input) =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['-e', code], {
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: DEADLINE_MS,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    child.on('error', reject);
    child.on('close', (status) =>
      status === 0 && output === '' ? resolve() : reject(new Error(`status ${status}: ${output}`)),
    );
    child.stdin.end(input);
  });

/**
 * Writes BUNDLE.cache.
 * @throws Error unless the plugin ends as a DEL of nothing does: without output, with status 0
 */
export const writeWarmCache = async (bundle, asFunction) => {
  const folder = mkdtempSync(join(tmpdir(), 'cellnet-build-'));
  const etcd = await emptyEtcd();
  const ovsdb = await emptyOvsdb(join(folder, 'db.sock'));
  try {
    const shared = join(folder, 'config.json');
    writeFileSync(shared, JSON.stringify({ etcd: { endpoints: [etcd.endpoint] }, node: 'build' }));
    const env = {
      CNI_COMMAND: 'DEL',
      CNI_CONTAINERID: 'build',
      CNI_IFNAME: 'eth0',
      CNI_PATH: folder,
      CELLNET_CONFIG: shared,
      CELLNET_STATE_DIR: join(folder, 'state'),
      CELLNET_OVSDB: `unix:${join(folder, 'db.sock')}`,
    };
    const network = {
      cniVersion: '1.1.0',
      name: 'build',
      type: 'cellnet',
      agent: false,
      ipam: { type: 'cellnet-ipam' },
    };
    await runOnce(runner(bundle, `${bundle}.cache`, asFunction), env, JSON.stringify(network));
  } finally {
    etcd.close();
    ovsdb.close();
    rmSync(folder, { recursive: true, force: true });
  }
};
