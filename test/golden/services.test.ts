import { test } from 'node:test';
import { hold } from './hold.ts';
import { LIST, reply, SERVING, servingWorld } from './services-world.ts';
import type { CliWorld, Ran } from './world.ts';

const shown = ({ status, stdout, stderr }: Ran): string =>
  `${stdout}${stderr === '' ? '' : `--- stderr\n${stderr}`}--- status ${status}\n`;

for (const command of ['service list', 'service show shop/web', 'trace default/client 10.96.0.10:80']) {
  for (const format of ['table', 'json', 'yaml']) {
    test(`${command} as ${format}`, async () => {
      const world = await servingWorld();
      hold(`${command}.${format}`, shown(await world.run(`${command} -o ${format}`)));
    });
  }
}

async function held(
  name: string,
  run: (step: (command: string) => Promise<void>, world: CliWorld) => Promise<void>,
): Promise<void> {
  const world = await servingWorld();
  const lines: string[] = [];
  await run(async (command) => {
    lines.push(`$ cnictl ${command}\n`, shown(await world.run(command)), '\n');
  }, world);
  hold(name, lines.join(''));
}

test('what the bridge does with packets', () =>
  held('traces', async (step) => {
    for (const to of [
      '10.96.0.11:80/tcp',
      '10.96.0.12:80',
      '10.96.0.13:80',
      '10.96.0.14:80',
      '10.96.0.10:81',
      '10.96.0.10',
      '10.20.1.80:8080',
      '[fd00:96::10]:80',
    ])
      await step(`trace default/client ${to}`);
  }));

test('Services that are not served, and what cannot be told', () =>
  held('service-trouble', async (step, world) => {
    for (const command of ['service show shop/db', 'service show shop/wbe', 'service show web'])
      await step(command);
    for (const rest of [
      'default/cleint 10.96.0.10:80',
      'default/client 10.96.0.10:80/icmp',
      'client 10.96.0.10',
    ])
      await step(`trace ${rest}`);
    await step('trace default/client 10.96.0.10:0');
    await step('trace default/client 10.96.0');
    world.vswitchd = () => Promise.reject(new Error('ovs-vswitchd gave no answer within 10000 ms'));
    await step('service show shop/web');
    const bridges = [
      { ...SERVING.bridges[0], bridge: 'br-cell', inPlace: false, flows: null, differences: 2 },
    ];
    const trouble = [{ ...bridges[0], failure: 'no connection to /run/openvswitch/br-cell.mgmt' }];
    world.agentReplies['/services'] = reply({
      ...LIST,
      known: false,
      bridges: trouble,
      frontends: [],
      refusals: [],
    });
    await step('service list');
    const off = { served: false, reason: 'they are off: "services": false', known: false, bridges: [] };
    world.agentReplies['/services'] = reply({ ...off, frontends: [], refusals: [] });
    await step('service list');
    world.agentReplies['/services'] = { status: 404, body: 'expected /metrics or /healthz\n' };
    await step('service list');
    world.agentReplies = {};
    await step('service list');
    world.env['CELLNET_AGENT'] = 'false';
    await step('service list');
  }));

for (const words of ['service', 'service show', 'trace', 'connectivity test'])
  test(`help of '${words}'`, async () => {
    const world = await servingWorld();
    hold(`help ${words}`, shown(await world.run([...words.split(' '), '--help'])));
  });
