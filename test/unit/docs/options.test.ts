import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CliWorld } from '../../golden/world.ts';

const ROOT = join(import.meta.dirname, '../../..');

/**
 * Options of the plugin, cellnetd, kubectl, etcd, etcdctl, ovs-vsctl, ovs-appctl, systemctl and
 * journalctl.
 */
const OTHERS = [
  '--probe',
  '--agent-hangs',
  '--socket',
  '--metrics',
  '--verb',
  '--resource',
  '--raw',
  '--quota-backend-bytes',
  '--prefix',
  '--timeout',
  '--now',
  '--quiet',
  '--no-pager',
  '--ct-next',
];

const optionsIn = (text: string): string[] => text.match(/(?<![\w-])--[a-z][a-z-]+/g) ?? [];

/** Returns the options in the help of the command and of all commands below it. */
async function ownOptions(world: CliWorld, words: readonly string[]): Promise<string[]> {
  const { stdout } = await world.run([...words, '--help']);
  const [, commands = ''] = stdout.split(/^Commands:$/m);
  const below = [...commands.matchAll(/^ {2}([a-z][a-z-]*)\b/gm)].map(([, name = '']) => name);
  const ofThose: string[] = [];
  for (const name of below.filter((each) => each !== 'help'))
    ofThose.push(...(await ownOptions(world, [...words, name])));
  return [...optionsIn(stdout), ...ofThose];
}

test('every option that a message of ours names is one of cnictl, or of a program named here', async () => {
  const known = new Set([...(await ownOptions(await CliWorld.make(), [])), ...OTHERS]);
  const unknown = ['cnictl', 'cni', 'ipam']
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.ts'))
        .map((file) => join(folder, file)),
    )
    .flatMap((file) =>
      readFileSync(join(ROOT, file), 'utf8')
        .split('\n')
        .filter((line) => /['`"]/.test(line) && !/^\s*(\/\/|\*|\/\*)/.test(line))
        .flatMap((line) => optionsIn(line).map((option) => `${file}: ${option}`)),
    )
    .filter((found) => !known.has(found.split(': ')[1] ?? ''));
  assert.deepEqual(unknown, []);
});
