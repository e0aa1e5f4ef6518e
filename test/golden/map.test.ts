import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Facts } from '../../cnictl/map/model.ts';
import { drawLine } from '../../cnictl/render/frame.ts';
import { MapForecasts } from '../../ipam/map/forecasts.ts';
import { readForecasts, type Forecasts } from '../../ipam/query/forecasts.ts';
import { put } from '../../ipam/records/transaction.ts';
import { sampled } from '../support/samples.ts';
import { factsOf, PureMap, watchedWorld } from '../support/map-world.ts';
import { hold } from './hold.ts';

const ESC = '\u001b';

/** Until when the ranges last by so many hours of samples. */
async function forecastsOf({ source, now }: Facts, hours: number): Promise<Forecasts | undefined> {
  const { ipam } = await sampled(hours);
  const read: MapForecasts = new MapForecasts({
    source: () => source,
    now: () => now,
    read: (usages) => readForecasts(ipam, usages),
  });
  await read.refresh();
  return read.current;
}

test('the map on screens of several sizes', async () => {
  const facts = { ...(await factsOf(await watchedWorld())) };
  const shown: string[] = [];
  const show = (what: string, map: PureMap): void => {
    const { columns, rows } = map.size;
    shown.push(`--- ${what}, ${columns} by ${rows}\n${map.text}\n`);
  };
  const trends = new Map([['blue', { assigned: 12, ended: 3 }]]);
  const size = (columns: number, rows: number) => ({ columns, rows });
  show('overview', new PureMap({ ...facts, trends }, size(80, 24)));
  show('overview', new PureMap({ ...facts, trends }, size(130, 12)));
  show('overview', new PureMap(facts, size(40, 10)));
  show('overview', new PureMap(facts, size(12, 3)));
  show('range', new PureMap({ ...facts, trends }, size(80, 24)).press('\rjl'));
  show('range', new PureMap(facts, size(40, 9)).press('\rjjjl'));
  show('range', new PureMap(facts, size(24, 5)).press('\rj'));
  show('range of IPv6', new PureMap(facts, size(80, 14)).press('G\r'));
  show('address', new PureMap(facts, size(80, 24)).press('/web-1\r\r'));
  show('address', new PureMap(facts, size(30, 12)).press('/10.20.0.66\r\r'));
  const past = new Map([['10.20.0.16', { kind: 'read', lines: ['nobody, as far as is recorded'] } as const]]);
  show('address with its past', new PureMap({ ...facts, past }, size(80, 24)).press('/web-1\r\r\r'));
  show('search', new PureMap(facts, size(80, 12)).press('/shop/we'));
  show('help', new PureMap(facts, size(80, 24)).press('?'));
  const away = { kind: 'away', since: facts.now - 45_000, reason: 'etcd is unreachable' } as const;
  show('etcd away', new PureMap({ ...facts, link: away }, size(80, 12)));
  show('etcd is read', new PureMap({ ...facts, link: { kind: 'reading', records: 12_000 } }, size(80, 8)));
  const forecasts = await forecastsOf(facts, 192);
  show(
    'until when it lasts',
    new PureMap({ ...facts, forecasts, trends }, size(80, 24)).press('s').press('s'),
  );
  show('until when it lasts', new PureMap({ ...facts, forecasts }, size(130, 8)));
  show('until when it lasts', new PureMap({ ...facts, forecasts }, size(100, 6)).press('\r'));
  const early = await forecastsOf(facts, 3);
  show('too early to tell', new PureMap({ ...facts, forecasts: early }, size(130, 8)));
  hold('map', shown.join(''));
  const picture = new PureMap({ ...facts, trends }, size(80, 24)).press('\rjl').lines;
  const document = readFileSync(join(import.meta.dirname, '../../docs/operations/map.md'), 'utf8');
  for (const line of picture.filter((each) => each !== ''))
    assert.ok(document.includes(`\n    ${line}\n`), `docs/operations/map.md does not show: ${line}`);
});

test('the map in colours', async () => {
  const map = new PureMap(await factsOf(await watchedWorld()), { columns: 80, rows: 12 }).press('\rj');
  const drawn = map.render().map((line) => drawLine(line, 80, true).text.replaceAll(ESC, '^'));
  hold('map-colours', `${drawn.join('\n')}\n`);
});

test('the map printed once', async () => {
  const { world, store } = await watchedWorld();
  const lines: string[] = [];
  const step = async (command: string): Promise<void> => {
    const { status, stdout, stderr } = await world.run(command);
    lines.push(`$ cnictl ${command}\n${stdout}${stderr}--- status ${status}\n\n`);
  };
  await step('map');
  await step('map -o json');
  await step('map blue');
  await step('map green -o json');
  await step('map six -o yaml');
  await step('map 10.20.0.16');
  await step('map 10.20.0.16 -o json');
  await step('map 10.20.0.70');
  await step('map shop/api-1');
  await step('map node-2');
  await step('map --node node-1');
  await step('map blue --node node-1');
  await step('map --range six');
  await step('map blu');
  await step('map 10.99.0.1');
  await step('map --range blu');
  await step('map --node node-3');
  await store.commit([], [put('blocks/blue/10.20.0.16_28', '{')]);
  await step('map blue');
  const { world: later } = await watchedWorld(await sampled(192));
  for (const command of ['map', 'map -o json']) {
    const { status, stdout, stderr } = await later.run(command);
    lines.push(`$ cnictl ${command}   # 192 samples\n${stdout}${stderr}--- status ${status}\n\n`);
  }
  hold('map-once', lines.join(''));
});
