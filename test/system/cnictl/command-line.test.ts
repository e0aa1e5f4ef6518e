/** The command line on a real etcd: completion in a real bash, `--watch`, and kubectl's plugin. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { addRange, setRangeState } from '../../../ipam/ranges/ranges.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { readLines } from '../../support/line-reader.ts';
import { run, until } from '../../support/proc.ts';
import { range } from '../../unit/ipam/world.ts';

/** Says why a test cannot run. */
const lacks = async (file: string, ...argv: string[]): Promise<string | false> => {
  try {
    return (await run(file, argv)).code === 0 ? false : `${file} does not run`;
  } catch {
    return `there is no ${file}`;
  }
};

const NO_KUBECTL = await lacks('kubectl', 'version', '--client');
const NO_MAN = await lacks('man', '--version');
const NO_ZSH = await lacks('zsh', '--version');
const NO_FISH = await lacks('fish', '--version');
const SHARE = join(OUR_PLUGINS, '../share');

suite('the command line', () => {
  let scope: Scope;
  let etcd: Etcd;
  let ipam: Ipam;
  let env: Record<string, string>;

  before(async () => {
    scope = newScope();
    etcd = scope.use(await startEtcd());
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => store.close());
    ipam = directIpam(store, hostEffects);
    env = {
      CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','),
      HOME: await scope.tempDir(),
      PATH: `${OUR_PLUGINS}:${process.env['PATH'] ?? ''}`,
    };
    await addRange(ipam, range('10.20.0.0/24', { name: 'blue' }));
    await addRange(ipam, range('10.21.0.0/24', { name: 'black' }));
  });
  after(() => scope.close());

  /** Returns what a bash with the completion offers behind a line. */
  const offered = async (line: string): Promise<string[]> => {
    const words = line.split(' ');
    const script = [
      `source ${SHARE}/bash-completion/completions/cnictl`,
      `COMP_LINE='${line}' COMP_POINT=${line.length} COMP_CWORD=${words.length - 1}`,
      `COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})`,
      `_cnictl; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ].join('\n');
    const { stdout } = await run('bash', ['--norc', '-c', script], { env });
    return stdout.split('\n').filter((each) => each !== '');
  };

  test('bash completes commands, options and names from etcd', async () => {
    assert.deepEqual(await offered('cnictl range sh'), ['show']);
    assert.deepEqual(await offered('cnictl range show b'), ['black', 'blue']);
    assert.deepEqual(await offered('cnictl ip list --range=blu'), ['blue']);
  });

  /** Zsh's own functions show candidates in a terminal only: print what they are given instead. */
  const ZSH = [
    'compdef() { :; }; _files() { print -r files; }',
    `_describe() { print -rl -- "\${(@P)3}"; shift 3; print -r -- "end$*"; }`,
    `source ${SHARE}/zsh/vendor-completions/_cnictl`,
    '(( $+functions[_cnictl] )) || exit 3',
    'words=("$@"); CURRENT=$#; _cnictl',
  ].join('\n');
  const byZsh = async (...words: readonly string[]): Promise<string[]> => {
    const { code, stdout, stderr } = await run('zsh', ['-f', '-c', ZSH, 'zsh', ...words], { env });
    assert.deepEqual([code, stderr], [0, '']);
    return stdout.trimEnd().split('\n');
  };

  test('zsh completes as bash does, with what each is', { skip: NO_ZSH }, async () => {
    assert.deepEqual(await byZsh('cnictl', 'range', 'show', 'b'), ['black', 'blue', 'end']);
    assert.deepEqual(await byZsh('cnictl', 'range', 'sh'), [
      'show:one range in full, and until when it lasts',
      'end',
    ]);
    assert.deepEqual(await byZsh('cnictl', '-o', 'jsonp'), ['jsonpath=', 'end-S']);
    assert.deepEqual(await byZsh('cnictl', 'backup', ''), ['files']);
  });

  const byFish = async (line: string): Promise<string[]> => {
    const script = `source ${SHARE}/fish/vendor_completions.d/cnictl.fish; complete -C '${line}'`;
    const { code, stdout, stderr } = await run('fish', ['--no-config', '-c', script], { env });
    assert.deepEqual([code, stderr], [0, '']);
    return stdout.trimEnd().split('\n');
  };

  test('fish completes as bash does, with what each is', { skip: NO_FISH }, async () => {
    assert.deepEqual(await byFish('cnictl range show b'), ['black', 'blue']);
    assert.deepEqual(await byFish('cnictl range sh'), ['show\tone range in full, and until when it lasts']);
    assert.deepEqual(await byFish('cnictl ip list --range=blu'), ['--range=blue']);
  });

  test('without etcd it is silent, within its deadline', async () => {
    const before = performance.now();
    const argv = ['__complete', '--etcd-endpoints', 'http://127.0.0.1:1', 'range', 'show', ''];
    const { stdout, stderr } = await run('cnictl', argv, { env });
    assert.deepEqual([stdout, stderr], [':4\n', '']);
    assert.ok(performance.now() - before < 5_000);
  });

  test('--watch prints the list and what changes, also over a restart of etcd', async () => {
    const watching = readLines(
      join(OUR_PLUGINS, 'cnictl'),
      ['range', 'list', '--watch', '--no-headers'],
      env,
    );
    scope.defer(() => watching.stop().then(() => undefined));
    const seen = (pattern: RegExp): boolean => watching.lines.some((line) => pattern.test(line));
    await until('the list is printed', () => seen(/^blue .* active/));
    await etcd.kill();
    await etcd.restart();
    await setRangeState(ipam, 'blue', 'draining');
    await until('the change is printed', () => seen(/^blue .* draining/));
    assert.equal(watching.lines.filter((line) => line.startsWith('black ')).length, 1);
  });

  test('kubectl finds it as its plugin', { skip: NO_KUBECTL }, async () => {
    const { stdout } = await run('kubectl', ['cellnet', 'range', 'list', '-o', 'name'], { env });
    assert.equal(stdout, 'black\nblue\n');
    assert.match(
      (await run('kubectl', ['cellnet', 'range', '--help'], { env })).stdout,
      /^Usage: kubectl cellnet range/,
    );
    const words = ['__complete', 'cellnet', 'range', 'show', 'bl'];
    assert.match((await run('kubectl', words, { env })).stdout, /^black\nblue\n:4/);
  });

  test('the manual pages have no fault that man would find', { skip: NO_MAN }, async () => {
    const folder = join(SHARE, 'man/man1');
    const pages = readdirSync(folder).map((name) => join(folder, name));
    assert.ok(pages.length > 15);
    const { stderr } = await run('man', ['--warnings', '-l', ...pages], {
      env: { ...env, LC_ALL: 'C', PAGER: 'cat' },
    });
    assert.equal(stderr, '');
  });
});
