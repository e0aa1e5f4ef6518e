import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLog } from '../../../cni/host/log.ts';
import type { LogFields } from '../../../cni/platform/platform.ts';

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly n?: number;
  readonly plugin: string;
}

test('lines from the level on are in the file, in order, by the next turn or when it is flushed', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'cellnet-log-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'log');
  const log = openLog({ CELLNET_LOG_FILE: file }, 'cellnet');
  const lines = (): Line[] =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Line);
  log.info('too small a thing');
  log.warn('first', { n: 1 });
  log.error('second', { n: 2 });
  await log.flush();
  assert.deepEqual(
    lines().map(({ level, msg, n, plugin }) => ({ level, msg, n, plugin })),
    [
      { level: 'warn', msg: 'first', n: 1, plugin: 'cellnet' },
      { level: 'error', msg: 'second', n: 2, plugin: 'cellnet' },
    ],
  );
  log.warn('third');
  for (let i = 0; i < 100 && lines().length < 3; i++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(lines()[2]?.msg, 'third');
  await log.flush();
  assert.equal(lines().length, 3);
});

test('no line has a key twice, also where the line names the plugin that it is about', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'cellnet-log-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'log');
  const log = openLog({ CELLNET_LOG_FILE: file }, 'cellnetd');
  log.warn('served', { plugin: 'cellnet', verb: 'ADD' });
  log.warn('reloaded');
  // @ts-expect-error These keys are the log's own.
  const own: LogFields = { level: 'x', time: 'x', msg: 'x' };
  assert.ok(own);
  await log.flush();
  const keys = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => [...line.matchAll(/"(\w+)":/g)].map(([, key]) => key));
  assert.deepEqual(keys, [
    ['level', 'time', 'plugin', 'verb', 'msg'],
    ['level', 'time', 'plugin', 'msg'],
  ]);
  assert.match(readFileSync(file, 'utf8'), /"plugin":"cellnet",.*\n.*"plugin":"cellnetd"/);
});

test('a log that cannot be written stops nothing', async () => {
  const log = openLog({ CELLNET_LOG_FILE: '/dev/full' }, 'cellnet');
  log.warn('one');
  log.warn('two');
  await log.flush();
  await log.flush();
});
