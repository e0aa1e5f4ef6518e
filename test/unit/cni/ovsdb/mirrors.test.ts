import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { OvsdbError } from '../../../../cni/ovsdb/errors.ts';
import {
  createMirror,
  isIdle,
  joinMirror,
  mirrorOf,
  partsOf,
  removeIdleMirror,
} from '../../../../cni/ovsdb/mirror-rows.ts';
import { joinMirrors } from '../../../../cni/ovsdb/mirrors.ts';
import type { Operation, OperationResult } from '../../../../cni/ovsdb/protocol.ts';
import type { OvsdbSession } from '../../../../cni/ovsdb/session.ts';

const OURS = ['map', [['owner', 'cellnet']]];
const NONE = ['set', []];
const row = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  _uuid: ['uuid', 'm1'],
  name: 'ids',
  external_ids: OURS,
  select_src_port: NONE,
  select_dst_port: NONE,
  output_port: NONE,
  ...changes,
});

suite('rows of mirrors', () => {
  const mirror = mirrorOf(
    row({
      select_src_port: [
        'set',
        [
          ['uuid', 'p1'],
          ['uuid', 'p2'],
        ],
      ],
      output_port: ['uuid', 'p3'],
    }),
  );

  test('tell the parts of a port', () => {
    assert.deepEqual(partsOf([mirror], 'p2'), [{ name: 'ids', roles: ['ingress'] }]);
    assert.deepEqual(partsOf([mirror], 'p3'), [{ name: 'ids', roles: ['output'] }]);
    assert.deepEqual(partsOf([mirror], 'p4'), []);
    assert.equal(isIdle(mirror), false);
    assert.equal(isIdle(mirrorOf(row())), true);
  });

  test('a mirror is made only on the bridge as it was read', () => {
    const made = createMirror('br', ['m0'], { name: 'ids', roles: ['ingress', 'egress'] }, 'p1');
    assert.deepEqual(made, [
      {
        op: 'wait',
        table: 'Bridge',
        where: [['name', '==', 'br']],
        columns: ['mirrors'],
        until: '==',
        rows: [{ mirrors: ['set', [['uuid', 'm0']]] }],
        timeout: 0,
      },
      {
        op: 'insert',
        table: 'Mirror',
        'uuid-name': 'mirror',
        row: {
          name: 'ids',
          external_ids: OURS,
          select_src_port: ['uuid', 'p1'],
          select_dst_port: ['uuid', 'p1'],
        },
      },
      {
        op: 'mutate',
        table: 'Bridge',
        where: [['name', '==', 'br']],
        mutations: [['mirrors', 'insert', ['set', [['named-uuid', 'mirror']]]]],
      },
    ]);
  });

  test('an output joins only a mirror whose output is as it was read', () => {
    const [wait, mutate] = joinMirror(mirrorOf(row()), { name: 'ids', roles: ['output'] }, 'p1');
    assert.ok(wait?.op === 'wait' && mutate?.op === 'mutate');
    assert.deepEqual(wait.rows, [{ name: 'ids', output_port: NONE }]);
    assert.deepEqual(mutate.mutations, [['output_port', 'insert', ['set', [['uuid', 'p1']]]]]);
    const [source] = joinMirror(mirror, { name: 'ids', roles: ['egress'] }, 'p1');
    assert.ok(source?.op === 'wait');
    assert.deepEqual(source.rows, [{ name: 'ids' }]);
  });

  test('a mirror is removed only without ports', () => {
    const [wait, mutate] = removeIdleMirror('m1');
    assert.ok(wait?.op === 'wait' && mutate?.op === 'mutate');
    assert.deepEqual(wait.rows, [{ select_src_port: NONE, select_dst_port: NONE, output_port: NONE }]);
    assert.deepEqual(mutate.mutations, [['mirrors', 'delete', ['uuid', 'm1']]]);
  });
});

suite('joining a mirror', () => {
  /** A database that answers looks with these rows in turn, and refuses the first changes. */
  const database = (
    looks: readonly (Record<string, unknown> | undefined)[],
    refused = 0,
  ): { session: OvsdbSession; changes: (readonly Operation[])[] } => {
    const changes: (readonly Operation[])[] = [];
    let looked = 0;
    const answer = (operations: readonly Operation[]): OperationResult[] => {
      if (operations.length === 1) return [{ rows: [{ name: 'cell-first' }] }];
      if (operations[0]?.op === 'select') {
        const found = looks[Math.min(looked++, looks.length - 1)];
        const mirrors = found ? ['uuid', 'm1'] : NONE;
        return [
          { rows: [{ _uuid: ['uuid', 'p1'] }] },
          { rows: [{ mirrors }] },
          { rows: found ? [found] : [] },
        ];
      }
      changes.push(operations);
      if (changes.length > refused) return [];
      throw new OvsdbError('timed out', 'the database refused operation 0 (wait)', { refused: true });
    };
    const session = {
      transact: (operations: readonly Operation[]) => Promise.resolve().then(() => answer(operations)),
    };
    return { session: session as OvsdbSession, changes };
  };
  const port = (...roles: ('ingress' | 'egress' | 'output')[]) => ({
    bridge: 'br',
    name: 'cell0',
    mirrors: [{ name: 'ids', roles }],
  });

  test('without mirrors the database is not asked', () =>
    joinMirrors({} as OvsdbSession, { bridge: 'br', name: 'cell0' }));

  test('a lost race is read again: the mirror of the other call is joined', async () => {
    const { session, changes } = database([undefined, row()], 1);
    await joinMirrors(session, port('ingress'));
    assert.deepEqual(
      changes.map((each) => each.map(({ op }) => op).join()),
      ['wait,insert,mutate', 'wait,mutate'],
    );
  });

  test('a repeated call changes nothing', async () => {
    const { session, changes } = database([row({ select_src_port: ['uuid', 'p1'] })]);
    await joinMirrors(session, port('ingress'));
    assert.deepEqual(changes, []);
  });

  test('a mirror that changes all the time', async () => {
    const { session, changes } = database([undefined], Infinity);
    await assert.rejects(joinMirrors(session, port('ingress')), { code: 'busy' });
    assert.equal(changes.length, 40);
  });

  test('another owner’s mirror, and one with an output', async () => {
    const foreign = database([row({ external_ids: ['map', []] })]);
    await assert.rejects(joinMirrors(foreign.session, port('output')), { code: 'mirror-not-ours' });
    const taken = database([row({ output_port: ['uuid', 'p9'] })]);
    await assert.rejects(joinMirrors(taken.session, port('output')), {
      code: 'mirror-taken',
      message: /mirror 'ids' of bridge 'br' has an output already, port 'cell-first'/,
    });
    assert.deepEqual([...foreign.changes, ...taken.changes], []);
    await joinMirrors(taken.session, port('egress'));
    assert.equal(taken.changes.length, 1);
  });
});
