import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { JsonFraming } from '../../../../cni/ovsdb/framing.ts';
import { attachPort, detachPorts } from '../../../../cni/ovsdb/ports.ts';
import { asArray, asNumber, asRecord, asString, asUuids } from '../../../../cni/ovsdb/protocol.ts';
import { parseRemote } from '../../../../cni/ovsdb/remote.ts';

suite('framing', () => {
  test('any values, cut anywhere, come out whole and in order', () => {
    const value = fc.oneof(
      fc.array(fc.jsonValue()),
      fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()),
    );
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        (values, sizes) => {
          const bytes = Buffer.from(values.map((each) => JSON.stringify(each)).join(''));
          const framing = new JsonFraming();
          const found: string[] = [];
          for (let at = 0, n = 0; at < bytes.length; n++) {
            const size = sizes[n % sizes.length] ?? 1;
            found.push(...framing.push(bytes.subarray(at, at + size)));
            at += size;
          }
          assert.deepEqual(
            found,
            values.map((each) => JSON.stringify(each)),
          );
        },
      ),
    );
  });

  test('a message without end is refused before it fills the memory', () => {
    const framing = new JsonFraming();
    const chunk = Buffer.alloc(8 * 1024 * 1024, 'x');
    framing.push(Buffer.from('["'));
    assert.throws(
      () => {
        for (let i = 0; i < 10; i++) framing.push(chunk);
      },
      { code: 'protocol' },
    );
  });
});

suite('values of RFC 7047 section 5.1', () => {
  test('a set of one is an atom, an empty one is a set', () => {
    assert.deepEqual(asArray('x'), ['x']);
    assert.deepEqual(asArray(['set', []]), []);
    assert.deepEqual(asArray(['set', [1, 2]]), [1, 2]);
    assert.equal(asString(['set', []]), undefined);
    assert.equal(asNumber(5), 5);
    assert.equal(asNumber(['set', []]), undefined);
  });
  test('references and maps', () => {
    assert.deepEqual(asUuids(['uuid', 'a']), ['a']);
    assert.deepEqual(
      asUuids([
        'set',
        [
          ['uuid', 'a'],
          ['uuid', 'b'],
        ],
      ]),
      ['a', 'b'],
    );
    assert.deepEqual(asUuids(['set', []]), []);
    assert.deepEqual(asRecord(['map', [['k', 'v']]]), { k: 'v' });
    assert.deepEqual(asRecord(5), {});
  });
});

suite('operations', () => {
  test('a port is one transaction that needs its bridge', () => {
    assert.deepEqual(attachPort({ bridge: 'br', name: 'p', tag: 120, externalIds: { owner: 'cellnet' } }), [
      {
        op: 'wait',
        table: 'Bridge',
        where: [['name', '==', 'br']],
        columns: ['name'],
        until: '==',
        rows: [{ name: 'br' }],
        timeout: 0,
      },
      {
        op: 'insert',
        table: 'Interface',
        'uuid-name': 'interface',
        row: { name: 'p', external_ids: ['map', [['owner', 'cellnet']]] },
      },
      {
        op: 'insert',
        table: 'Port',
        'uuid-name': 'port',
        row: {
          name: 'p',
          interfaces: ['named-uuid', 'interface'],
          external_ids: ['map', [['owner', 'cellnet']]],
          tag: 120,
        },
      },
      {
        op: 'mutate',
        table: 'Bridge',
        where: [['name', '==', 'br']],
        mutations: [['ports', 'insert', ['set', [['named-uuid', 'port']]]]],
      },
    ]);
    const untagged = attachPort({ bridge: 'br', name: 'p', externalIds: {} })[2];
    assert.ok(untagged?.op === 'insert' && !('tag' in untagged.row));
  });
  test('a removal names the row, not the name', () => {
    assert.deepEqual(detachPorts(['u1']), [
      {
        op: 'mutate',
        table: 'Bridge',
        where: [['ports', 'includes', ['uuid', 'u1']]],
        mutations: [['ports', 'delete', ['uuid', 'u1']]],
      },
    ]);
  });
});

suite('remotes', () => {
  test('three kinds', () => {
    assert.deepEqual(parseRemote('unix:/run/db.sock'), {
      kind: 'unix',
      path: '/run/db.sock',
      host: '',
      port: 0,
    });
    assert.deepEqual(parseRemote('tcp:[fd00::1]:6640'), {
      kind: 'tcp',
      path: '',
      host: 'fd00::1',
      port: 6640,
    });
    assert.deepEqual(parseRemote('ssl:ovs.example.org:6640'), {
      kind: 'ssl',
      path: '',
      host: 'ovs.example.org',
      port: 6640,
    });
  });
  for (const text of ['', 'unix:db.sock', 'tcp:host', 'tcp:host:99999', 'http://x', 'tcp:a b:1']) {
    test(`'${text}' is none`, () =>
      assert.throws(() => parseRemote(text), { code: 'protocol', message: /expected 'unix:/ }));
  }
});
