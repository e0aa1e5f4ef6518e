import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { portDifferences } from '../../../cni/attach/differences.ts';
import { isAsRecorded, portOfRecord, recordedPort } from '../../../cni/attach/recorded-port.ts';
import { attachmentRecord } from '../../../cni/platform/node-records.ts';
import type { PortInfo, PortSpec } from '../../../cni/platform/switch.ts';
import { readNetworkConfig } from '../../../cni/protocol/config.ts';
import { mirrorText, type PortMirror } from '../../../cni/protocol/mirrors.ts';
import { decodeValue } from '../../../ipam/records/decode.ts';
import { CONFIG } from './fake-platform.ts';

const read = (mirrors: unknown): readonly PortMirror[] =>
  readNetworkConfig(JSON.stringify({ ...CONFIG, mirrors }), 'cellnet', 'ADD').config.mirrors;

suite('the key mirrors', () => {
  test('names the mirrors of a source, or those of an output', () => {
    const entries = [
      { name: 'web', ingress: true },
      { name: 'ids', egress: true, ingress: true, output: false },
    ];
    assert.deepEqual(read(entries), [
      { name: 'ids', roles: ['ingress', 'egress'] },
      { name: 'web', roles: ['ingress'] },
    ]);
    assert.equal(mirrorText(read(entries)), 'ids (ingress, egress), web (ingress)');
    assert.deepEqual(read([{ name: 'ids', output: true }]), [{ name: 'ids', roles: ['output'] }]);
    for (const none of [undefined, null]) assert.deepEqual(read(none), []);
  });

  const refusals: [value: unknown, message: RegExp][] = [
    [[], /key 'mirrors' is \[\]: expected at least one mirror/],
    [
      [{ name: 'ids' }],
      /'mirrors\.0' is {"name":"ids"}: expected "ingress", "egress" or "output" to be true/,
    ],
    [[{ name: 'ids', ingress: false }], /expected "ingress", "egress" or "output" to be true/],
    [[{ name: 'ids', ingress: true, output: true }], /'mirrors' is .*expected either "output", or "ingress"/],
    [
      [
        { name: 'ids', output: true },
        { name: 'web', egress: true },
      ],
      /expected either "output", or "ingress" and "egress": a port that gets copies carries nothing else/,
    ],
    [
      [
        { name: 'ids', ingress: true },
        { name: 'ids', egress: true },
      ],
      /expected each mirror name once/,
    ],
    [[{ name: '-x', output: true }], /'mirrors\.0\.name' is "-x": expected a mirror name of 1 to 64/],
    [[{ name: 'x'.repeat(65), output: true }], /'mirrors\.0\.name' .*expected a mirror name/],
    [[{ output: true }], /'mirrors\.0\.name' is missing/],
    [[{ name: 'ids', inout: true }], /'mirrors\.0\.inout'/],
    ['ids', /key 'mirrors' is "ids"/],
  ];
  for (const [value, message] of refusals)
    test(`${JSON.stringify(value)} is refused`, () =>
      assert.throws(() => read(value), { kind: 'invalid-config', message }));

  test('does not stop a DEL', () => {
    const { config, complaint } = readNetworkConfig(
      JSON.stringify({ ...CONFIG, mirrors: [{ name: 'ids' }] }),
      'cellnet',
      'DEL',
    );
    assert.deepEqual([config.mirrors, complaint?.kind], [[], 'invalid-config']);
  });
});

suite('the mirrors of a port', () => {
  const mirrors = read([{ name: 'ids', ingress: true, egress: true }]);
  const spec = {
    bridge: 'br-cell',
    name: 'cell0',
    tag: undefined,
    trunks: [],
    ofportRequest: undefined,
    externalIds: {},
  };
  const found: PortInfo = { ...spec, ofport: 1, error: undefined };

  test('a difference is told', () => {
    const differences = (there: PortInfo, wanted: PortSpec): string[] => portDifferences([there], wanted);
    assert.deepEqual(differences(found, spec), []);
    assert.deepEqual(differences({ ...found, mirrors }, { ...spec, mirrors }), []);
    assert.deepEqual(differences(found, { ...spec, mirrors }), [
      'mirrors of port cell0: expected ids (ingress, egress), found none',
    ]);
    const more = [...mirrors, { name: 'web', roles: ['egress'] as const }];
    assert.deepEqual(differences({ ...found, mirrors: more }, { ...spec, mirrors }), [
      'mirrors of port cell0: expected ids (ingress, egress), found ids (ingress, egress), web (egress)',
    ]);
  });

  test('are in the record, and the port that lacks one is not as recorded', () => {
    const attachment = { containerId: 'c1', ifname: 'eth0' };
    const port = recordedPort({ ...spec, mirrors });
    const common = { v: 1, network: 'n', etcd: {}, node: 'n1', bridge: 'br-cell', ovsdb: 'unix:/db.sock' };
    const read = decodeValue(attachmentRecord, { ...common, ...attachment, createdAt: 0, port });
    assert.ok(read.ok);
    assert.deepEqual(portOfRecord(read.value, undefined, [])?.mirrors, mirrors);
    assert.ok(!('mirrors' in recordedPort(spec)));
    assert.ok(isAsRecorded({ ...found, mirrors }, port));
    assert.ok(isAsRecorded({ ...found, mirrors }, recordedPort(spec)));
    for (const roles of [[], ['ingress'] as const])
      assert.ok(!isAsRecorded({ ...found, mirrors: [{ name: 'ids', roles }] }, port));
  });
});
