import assert from 'node:assert/strict';
import { test } from 'node:test';
import { service, type KubeObject } from '../../support/kube-api.ts';
import { startWatched, until } from './watch-setup.ts';

const timeout = 30_000;

const good = (name: string, uid = name): KubeObject => service({ name, uid, clusterIPs: ['10.96.0.1'] });
const bad = (name: string, uid = name): KubeObject => service({ name, uid, ports: [{ port: 'http' }] });

test('a bad object in a list is told by name, and harms no other', { timeout }, async (t) => {
  const { api, recorder, watch } = await startWatched(t);
  for (const object of [good('a'), bad('b'), good('c')]) api.putService(object);
  watch();
  await until('the watch works', () => recorder.log.includes('well'));
  assert.deepEqual(recorder.log, [
    'bad default/b: spec.ports[0].port: expected a whole number from 1 to 65535, found "http"',
    '= 2',
    'well',
  ]);
  api.putService(good('b'));
  await until('it is good now', () => recorder.items.size === 3);
});

test('an object that becomes bad keeps its former state, also through a list', { timeout }, async (t) => {
  const { api, recorder, watch } = await startWatched(t);
  api.putService(good('a'));
  api.putService(good('b'));
  watch();
  await until('the watch works', () => recorder.log.includes('well'));
  api.putService(bad('a'));
  api.putService(good('c'));
  await until('the event came', () => recorder.items.size === 3);
  assert.match(recorder.log[2] ?? '', /^bad default\/a: /);
  assert.deepEqual(recorder.items.get('default/a')?.clusterIPs, ['10.96.0.1']);

  api.compact();
  const [open] = api.watches;
  open?.fail(410, 'Expired');
  await until('the second list', () => recorder.log.includes('= 3'));
  assert.deepEqual(recorder.keys, ['default/a', 'default/b', 'default/c']);

  api.deleteService('default', 'a');
  await until('it is gone', () => recorder.items.size === 2);
});

test('another object of the same name inherits nothing', { timeout }, async (t) => {
  const { api, recorder, watch } = await startWatched(t);
  api.putService(good('a', 'a1'));
  api.putService(good('b', 'b1'));
  watch();
  await until('the watch works', () => recorder.log.includes('well'));
  api.putService(bad('a', 'a2'));
  await until('the former one is gone', () => recorder.log.includes('- default/a'));
  const [open] = api.watches;
  open?.stall();
  api.putService(bad('b', 'b2'));
  api.compact();
  open?.cut();
  await until('the second list', () => recorder.log.includes('= 0'));
  assert.deepEqual(recorder.keys, []);
});
