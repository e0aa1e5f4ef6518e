import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { printable, printableLines } from '../../../../cnictl/render/printable.ts';
import { CliWorld } from '../../../golden/world.ts';

suite('printable', () => {
  test('control characters and marks of direction are written out, all else stays', () => {
    assert.equal(printable('a\u001b[31m\n\r\t\u0000'), 'a\\u001b[31m\\n\\r\\t\\u0000');
    assert.equal(printable('\u007f\u009b1m\u202e'), '\\u007f\\u009b1m\\u202e');
    assert.equal(printable(`grün '"\\ 🦊`), `grün '"\\ 🦊`);
    assert.equal(printableLines('a\u001b\nb\n'), 'a\\u001b\nb\n');
  });

  const hostile = 'a\u001b[31m\u009b\u202e';
  for (const argv of [
    ['range', 'show', hostile],
    ['range', 'add', hostile],
    ['range', 'add', '10.40.0.0/24', '--name', hostile],
    ['range', 'add', '10.40.0.0/24', '--vlan', hostile],
    ['range', 'add', '10.40.0.0/24', '--route', hostile],
    ['block', 'list', '--node', hostile],
    ['block', 'list', '--range', hostile],
    ['ip', 'show', hostile],
    ['check', '--grace', hostile],
    ['release', '--from-report', hostile],
    ['node', 'init', '--bridge', hostile],
    ['node', 'init', '--uplink', 'a\u001b[31m'],
    ['--ovsdb', 'tcp:10.0.0.9:6640', 'node', 'init', '--uplink', 'a\u001b[31m', '--dry-run'],
    ['--config', hostile, 'range', 'list'],
    ['help', hostile],
    ['-o', hostile, 'range', 'list'],
    [`--${hostile}`],
    [hostile],
  ]) {
    test(`not one reaches the terminal: ${printable(argv.join(' '))}`, async () => {
      const world = await CliWorld.make();
      const { stdout, stderr } = await world.run(argv);
      assert.match(stdout + stderr, /a\\u001b\[31m/);
      assert.equal(printableLines(stdout + stderr), stdout + stderr);
    });
  }

  test('a line break in an argument makes no line of its own', async () => {
    const world = await CliWorld.make();
    assert.match(
      (await world.run(['range', 'show', 'a\nb'])).stderr,
      /^cnictl: range 'a\\nb' does not exist/,
    );
  });
});
