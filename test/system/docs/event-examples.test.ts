/** Runs the examples that follow events, with the real etcd and a real nginx. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import type { CellEvent } from '../../../ipam/events/event.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { OUR_PLUGINS, REPOSITORY } from '../../support/cni.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { must, startDaemon, until, type Daemon } from '../../support/proc.ts';
import { DEL, owner, range } from '../../unit/ipam/world.ts';

const EXAMPLES = join(REPOSITORY, 'docs/examples');
const CNICTL = join(OUR_PLUGINS, 'cnictl');

suite('examples that follow events', () => {
  let scope: Scope;
  let etcd: Etcd;
  let ipam: Ipam;
  let dir: string;
  let env: Record<string, string>;

  before(async () => {
    scope = newScope();
    dir = await scope.tempDir();
    etcd = scope.use(await startEtcd());
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => store.close());
    ipam = directIpam(store, hostEffects);
    await addRange(ipam, range('10.214.0.0/22', { name: 'blue', cooldownMs: 0 }));
    // The addresses of the range are this machine's, so that the pods are servers of this test.
    const local = ['local', '10.214.0.0/22', 'dev', 'lo'];
    await must('ip', ['route', 'add', ...local]);
    scope.defer(async () => {
      await must('ip', ['route', 'delete', ...local]);
    });
    env = { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','), HOME: dir };
  });
  after(() => scope.close());

  const assign = async (name: string, namespace = 'shop'): Promise<string> => {
    const pod = { podNamespace: namespace, podName: name, podUid: `uid-${name}` };
    const [given] = await allocate(ipam, { node: 'node-1', owner: owner(`c-${name}`, pod), families: [4] });
    assert.ok(given);
    return formatAddress(given.address);
  };
  const end = (name: string): Promise<unknown> =>
    release(ipam, { node: 'node-1', attachment: { containerId: `c-${name}`, ifname: 'eth0' }, cause: DEL });

  test('nginx-upstream: nginx asks the pods of now, and reloads when they have changed', async () => {
    const conf = join(dir, 'nginx.conf');
    const upstream = join(dir, 'upstream.conf');
    writeFileSync(upstream, 'upstream web { server 127.0.0.1:1 down; }\n');
    writeFileSync(
      conf,
      `pid ${dir}/nginx.pid; error_log ${dir}/error.log; worker_processes 1;
       events {}
       http { access_log off; client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f;
         uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
         include ${upstream};
         server { listen unix:${dir}/nginx.sock; location / { proxy_pass http://web; } } }\n`,
    );
    const nginx = join(dir, 'nginx');
    writeFileSync(nginx, `#!/bin/sh\necho "$*" >>${dir}/calls\nexec /usr/sbin/nginx -c ${conf} "$@"\n`);
    chmodSync(nginx, 0o755);
    const server = await startDaemon(nginx, ['-g', 'daemon off;'], () => existsSync(`${dir}/nginx.sock`), {
      env,
    });
    scope.defer(() => server.stop());
    const serve = async (ip: string, name: string): Promise<void> => {
      const pod = createServer((_, response) => void response.end(name));
      await new Promise<void>((resolve) => pod.listen(8080, ip, resolve));
      scope.defer(() => void pod.close());
    };
    const ask = (): Promise<string> =>
      must('curl', ['-s', '--unix-socket', `${dir}/nginx.sock`, 'http://nginx/'], { env });
    const reloads = (): number =>
      existsSync(`${dir}/calls`) ? readFileSync(`${dir}/calls`, 'utf8').split('-s reload').length - 1 : 0;
    const has = (...names: string[]): boolean => {
      const told = readFileSync(upstream, 'utf8').match(/# web-\w+$/gm) ?? [];
      return told.join() === names.map((name) => `# ${name}`).join();
    };

    await serve(await assign('web-0'), 'web-0');
    await assign('db-0');
    await assign('web-9', 'bank');
    const words = ['--namespace', 'shop', '--pod', 'web-*', '--port', '8080', '--upstream', 'web'];
    const script = await startDaemon(
      join(EXAMPLES, 'nginx-upstream/nginx-upstream.mjs'),
      [...words, '--file', upstream, '--nginx', nginx, '--cnictl', CNICTL],
      (it) => it.output().includes('reloaded with 1 servers'),
      { env },
    );
    scope.defer(() => script.stop());
    await until('the first pod', async () => (await ask()) === 'web-0' || undefined);
    await serve(await assign('web-1'), 'web-1');
    await until('both pods', () => has('web-0', 'web-1') || has('web-1', 'web-0') || undefined);
    await until('the second pod', async () => (await ask()) === 'web-1' || undefined);
    const before = reloads();
    await assign('db-1');
    await end('db-0');
    await etcd.restart();
    await end('web-0');
    await until('the second alone', () => has('web-1') || undefined, 30_000);
    await until('one reload', () => reloads() === before + 1 || undefined);
    // The worker of before may answer for a moment more.
    const asked = async (): Promise<true | undefined> => {
      for (let n = 0; n < 5; n++) if ((await ask()) !== 'web-1') return undefined;
      return true;
    };
    await until('the second pod alone', asked);
    await end('web-1');
    await until('none', () => readFileSync(upstream, 'utf8').includes('down;') || undefined);
    script.signal('SIGTERM');
    assert.equal(await script.ended, 0, script.output());
  });

  test('nginx-upstream: a file that nginx refuses is taken back', async () => {
    const file = join(dir, 'refused.conf');
    writeFileSync(file, 'before\n');
    const nginx = join(dir, 'refusing');
    writeFileSync(nginx, '#!/bin/sh\necho "no such directive" >&2\nexit 1\n');
    chmodSync(nginx, 0o755);
    const words = ['--namespace', 'shop', '--port', '8080', '--upstream', 'web', '--file', file];
    const script = await startDaemon(
      join(EXAMPLES, 'nginx-upstream/nginx-upstream.mjs'),
      [...words, '--nginx', nginx, '--cnictl', CNICTL],
      (it) => it.output().includes('nginx does not take'),
      { env },
    );
    assert.equal(await script.ended, 1);
    assert.match(script.output(), /no such directive/);
    assert.equal(readFileSync(file, 'utf8'), 'before\n');
  });

  test('nginx-upstream: labels are asked of Kubernetes', async () => {
    const kubectl = join(dir, 'kubectl');
    writeFileSync(
      kubectl,
      '#!/bin/sh\ncase "$*" in *"--selector app=web "*metadata.name=red-1*) echo pod/red-1 ;; esac\n',
    );
    chmodSync(kubectl, 0o755);
    const nginx = join(dir, 'agreeing');
    writeFileSync(nginx, '#!/bin/sh\n');
    chmodSync(nginx, 0o755);
    await assign('red-1', 'labels');
    await assign('red-2', 'labels');
    const file = join(dir, 'labels.conf');
    const words = [
      '--namespace',
      'labels',
      '--label',
      'app=web',
      '--port',
      '80',
      '--upstream',
      'red',
      '--file',
      file,
    ];
    const script = await startDaemon(
      join(EXAMPLES, 'nginx-upstream/nginx-upstream.mjs'),
      [...words, '--nginx', nginx, '--kubectl', kubectl, '--cnictl', CNICTL],
      (it) => it.output().includes('reloaded with 1 servers'),
      { env },
    );
    await script.stop();
    assert.match(readFileSync(file, 'utf8'), /server 10\.214\.\S+:80; # red-1\n}/);
  });

  test('webhook: each event is posted once, in order, over a receiver that fails and over restarts', async () => {
    mkdirSync(join(dir, 'hook'));
    const position = join(dir, 'hook/position');
    const got: CellEvent[] = [];
    let answer: (event: CellEvent) => number = () => 204;
    const receive = (request: IncomingMessage, response: ServerResponse): void => {
      let body = '';
      request.setEncoding('utf8').on('data', (text: string) => (body += text));
      request.on('end', () => {
        const event = JSON.parse(body) as CellEvent;
        const status = answer(event);
        if (status === 204) got.push(event);
        response.writeHead(status, { 'retry-after': '0' }).end();
      });
    };
    const receiver = createServer(receive);
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    scope.defer(() => void receiver.close());
    const bound = receiver.address();
    const url = `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}/`;
    const begin = (): Promise<Daemon> =>
      startDaemon(
        join(EXAMPLES, 'webhook/webhook.mjs'),
        ['--url', url, '--position', position, '--namespace', 'hook', '--cnictl', CNICTL],
        () => existsSync(position),
        { env },
      );
    const names = (): string[] => got.map(({ type, pod }) => `${type} ${pod?.name ?? ''}`);

    const first = await begin();
    await assign('a', 'hook');
    await until('the first', () => got.length === 1 || undefined);
    answer = () => 503;
    await assign('b', 'hook');
    await until(
      'trouble to be told',
      () => /sent again and again: it answers 503/.test(first.output()) || undefined,
    );
    await first.stop(0);
    await end('a');
    answer = () => 204;
    const second = await begin();
    await until('what came meanwhile', () => got.length === 3 || undefined);
    answer = ({ pod }) => (pod?.name === 'bad' ? 422 : 204);
    await assign('bad', 'hook');
    await end('b');
    await until('what comes behind a refused one', () => got.length === 4 || undefined);
    assert.deepEqual(names(), ['assigned a', 'assigned b', 'released a', 'released b']);
    assert.match(second.output(), /assigned is refused, and left: it answers 422/);
    await until(
      'its position',
      () => readFileSync(position, 'utf8').trim() === got.at(-1)?.position || undefined,
    );
    second.signal('SIGTERM');
    assert.equal(await second.ended, 0, second.output());
  });
});
