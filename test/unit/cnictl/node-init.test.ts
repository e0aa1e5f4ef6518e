import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { CliWorld } from '../../golden/world.ts';

suite('node init checks before it writes', () => {
  const refused: [what: string, argv: string[], message: RegExp][] = [
    ['a bridge name of 16', ['--bridge', 'b'.repeat(16)], /bridge name 'b{16}': expected 1 to 15 letters/],
    ['an empty bridge name', ['--bridge', ''], /bridge name ''/],
    ['a bridge name with a slash', ['--bridge', 'br/cell'], /bridge name 'br\/cell'/],
    ['a bridge name with a space', ['--bridge', 'br cell'], /bridge name 'br cell'/],
    ['a bridge name of dots', ['--bridge', '..'], /bridge name '\.\.'/],
    ['an uplink name of 16', ['--uplink', 'u'.repeat(16)], /uplink name 'u{16}': expected 1 to 15 bytes/],
    ['an uplink name of 16 bytes', ['--uplink', 'ü'.repeat(8)], /expected 1 to 15 bytes/],
    ['an uplink name with a space', ['--uplink', 'bond 1'], /uplink name 'bond 1'/],
    ['an uplink name with a slash', ['--uplink', '../net'], /uplink name '\.\.\/net'/],
    ['an uplink that is no device', ['--uplink', 'bond9'], /uplink 'bond9': this host has no such device/],
    [
      'an uplink that is no device, dry',
      ['--uplink', 'bond9', '--dry-run'],
      /uplink 'bond9': this host has no such device/,
    ],
  ];
  for (const [what, argv, message] of refused) {
    test(what, async () => {
      const world = new CliWorld();
      const ran = await world.run(['node', 'init', ...argv]);
      assert.equal(ran.status, 2);
      assert.match(ran.stderr, message);
      assert.deepEqual(world.ovsdb.written, []);
    });
  }

  test('a dry run tells what would be done', async () => {
    const world = new CliWorld();
    const ran = await world.run('node init --uplink bond1 --dry-run');
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(
      ran.stdout,
      /^would do: bridge br-cell made.*\nwould do: uplink bond1 attached to br-cell\n$/,
    );
    assert.deepEqual(world.ovsdb.written, []);
  });

  test('devices of another host are not looked up', async () => {
    const world = new CliWorld();
    const ran = await world.run('--ovsdb tcp:10.0.0.9:6640 node init --uplink bond9 --dry-run');
    assert.equal(ran.status, 0, ran.stderr);
  });
});
