import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import type { World } from '../../../cnictl/context/world.ts';
import { makeProgram } from '../../../cnictl/program/program.ts';

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

const optionsIn = (text: string): string[] => text.match(/(?<![\w-])--[a-z][a-z-]*[a-z](?![a-z-])/g) ?? [];

/** Returns the options of the command and of all commands below it, also those that texts name. */
const ownOptions = (command: Command): string[] => [
  '--help',
  ...command.options.flatMap(({ flags, description }) => optionsIn(`${flags} ${description}`)),
  ...command.commands.flatMap(ownOptions),
];

test('every option that a message of ours names is one of cnictl, or of a program named here', () => {
  const known = new Set([...ownOptions(makeProgram(() => Promise.resolve(), {} as World)), ...OTHERS]);
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
