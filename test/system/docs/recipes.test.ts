/** Carries out recipes of docs/operations/ as they stand there, on real parts. */
import assert from 'node:assert/strict';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { OUR_PLUGINS, REPOSITORY } from '../../support/cni.ts';
import { codeBelow } from '../../support/documents.ts';
import { startEtcd } from '../../support/etcd.ts';
import { newScope, scopedNamespace, type Namespace, type Scope } from '../../support/netns.ts';
import { must, run, startDaemon, type RunResult } from '../../support/proc.ts';

/** The documents' address of etcd. In the test it is this one. */
const here = (text: string): string => text.replaceAll('10.0.0.1', '127.0.0.1');

const shell = (script: string, cwd: string, netns?: string): Promise<string> =>
  must('bash', ['-euc', script], { cwd, ...(netns !== undefined && { netns }), timeoutMs: 60_000 });

/** Starts an etcd with the options that the page names, in the folder with the certificates. */
async function startByThePage(scope: Scope, cwd: string, netns: Namespace, options: string): Promise<void> {
  const url = 'https://127.0.0.1:2379';
  const args = ['--data-dir', 'data', '--listen-client-urls', url, '--advertise-client-urls', url];
  const answers = async (): Promise<boolean> => {
    const files = ['--cacert', 'ca.pem', '--cert', 'root.pem', '--key', 'root.key', '--endpoints', url];
    const health = await run('etcdctl', [...files, 'endpoint', 'health'], {
      cwd,
      netns: netns.name,
      env: { ETCDCTL_API: '3' },
    });
    return health.code === 0;
  };
  const words = options.split(' ').filter((word) => word !== '');
  scope.use(await startDaemon('etcd', [...args, ...words], answers, { cwd, netns: netns.name }));
}

test('docs/operations/etcd-access.md: certificates, and access by them', async (t) => {
  const scope = newScope(t);
  const dir = await scope.tempDir();
  const netns = await scopedNamespace(scope, 'access');
  await symlink(join(REPOSITORY, 'docs'), join(dir, 'docs'));
  const page = 'docs/operations/etcd-access.md';
  const isEtcd = (line: string): boolean => line.startsWith('etcd … ');
  const certificates = codeBelow(page, 'Certificates').join('\n').split('\n');
  await shell(here(certificates.filter((line) => !isEtcd(line)).join('\n')), dir);
  const options = certificates.find(isEtcd)?.slice('etcd … '.length) ?? '';
  await startByThePage(scope, dir, netns, options);

  const [turnOn = ''] = codeBelow(page, 'Turn it on with certificates');
  const lines = here(turnOn).split('\n');
  const commands = lines.filter((line) => line.startsWith('$ ')).map((line) => line.slice(2));
  const shown = lines.filter((line) => !line.startsWith('$ '));
  const printed = (await shell(commands.join('\n'), dir, netns.name)).split('\n').filter(Boolean);
  assert.deepEqual(printed, shown);

  const cnictl = async (user: string, ...words: string[]): Promise<RunResult> => {
    const etcd = {
      endpoints: ['https://127.0.0.1:2379'],
      caFile: join(dir, 'ca.pem'),
      certFile: join(dir, `${user}.pem`),
      keyFile: join(dir, `${user}.key`),
    };
    const config = { etcd, node: 'node-7' };
    await writeFile(join(dir, 'config.json'), JSON.stringify(config));
    const args = ['--config', join(dir, 'config.json'), ...words];
    const env = { KUBECONFIG: undefined, HOME: dir };
    return run(join(OUR_PLUGINS, 'cnictl'), args, { netns: netns.name, env, timeoutMs: 60_000 });
  };
  const [doctor = '', refused = ''] = codeBelow(page, 'Look at it');
  const [, line = ''] = doctor.split('\n');
  const told = (await cnictl('node-7', 'doctor')).stdout.replaceAll(dir, '/etc/cellnet');
  assert.ok(told.replace(/ +/g, ' ').includes(line.replace(/ +/g, ' ')), told);
  const add = ['range', 'add', '10.30.0.0/22', '--gateway', '10.30.0.1'];
  const denied = await cnictl('node-7', ...add);
  assert.equal(denied.code, 2);
  assert.equal(denied.stderr.trim(), here(refused).split('\n').slice(1).join('\n'));
  assert.equal((await cnictl('alice', ...add)).code, 0);
});

test('docs/operations/etcd-away.md: an etcd that is full takes writes again', async (t) => {
  const scope = newScope(t);
  const dir = await scope.tempDir();
  const netns = await scopedNamespace(scope, 'full');
  const etcd = scope.use(await startEtcd({ netns: netns.name, args: ['--quota-backend-bytes', '3000000'] }));
  const cnictl = (...words: string[]): Promise<RunResult> =>
    run(join(OUR_PLUGINS, 'cnictl'), ['--etcd-endpoints', etcd.endpoints.join(), ...words], {
      netns: netns.name,
      env: { KUBECONFIG: undefined, HOME: dir },
    });
  await writeFile(join(dir, 'value'), 'a'.repeat(100_000));
  const fill = 'until ! etcdctl put /other/x <value >/dev/null 2>&1; do :; done';
  const environment = `export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=${etcd.endpoints.join()}`;
  await shell(`${environment}\n${fill}`, dir, netns.name);
  const add = ['range', 'add', '10.20.0.0/22', '--gateway', '10.20.0.1'];
  assert.match((await cnictl(...add)).stderr, /database space exceeded/);

  const [block = ''] = codeBelow('docs/operations/etcd-away.md', 'It is full');
  const commands = block.split('\n').flatMap((line) => (line.startsWith('$ ') ? [line.slice(2)] : []));
  assert.match((await cnictl('doctor', '--cluster')).stdout, /fail +etcd alarms +NOSPACE of member/);
  const ofEtcd = commands.filter((command) => !command.startsWith('cnictl'));
  assert.equal(ofEtcd.length, 5);
  const printed = await shell([environment, ...ofEtcd].join('\n'), dir, netns.name);
  assert.match(printed, /^ +\d+ other$/m);
  assert.match(printed, /^compacted revision \d+$/m);
  assert.match(printed, /^Finished defragmenting etcd member/m);
  assert.equal((await cnictl(...add)).code, 0);
});
