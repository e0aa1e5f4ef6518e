import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  judge,
  PORT_FAULTS,
  type Boot,
  type Facts,
  type Verdict,
} from '../../../../cni/reconcile/verdict.ts';

const BOOT: Boot = { id: 'this', startedAt: 1_000 };

const LIVING: Facts = {
  containerId: 'c1',
  ifname: 'eth0',
  allocations: [{ bootId: 'this', allocatedAt: 2_000, isTraced: true, isCondemned: false }],
  allocationsKnown: true,
  ownsName: true,
  link: 'carrier',
  port: 'present',
  record: { bootId: 'this', ourIpam: true, ourInterface: true, namesAddresses: true },
  namespace: 'lives',
};
const CONDEMNED: Facts = {
  ...LIVING,
  allocations: [{ bootId: 'this', allocatedAt: 2_000, isTraced: true, isCondemned: true }],
};
const GONE: Facts = { ...LIVING, link: 'absent', namespace: 'gone' };
const BARE: Facts = { ...GONE, allocations: [] };
const REBOOTED: Facts = {
  ...GONE,
  allocations: [{ bootId: 'before', allocatedAt: 900, isTraced: true, isCondemned: false }],
  record: { bootId: 'before', ourIpam: true, ourInterface: true, namesAddresses: true },
};
const BRIDGED: Facts = {
  ...LIVING,
  link: 'absent',
  port: 'absent',
  record: { bootId: 'this', ourIpam: true, ourInterface: false, namesAddresses: true },
};

const text = (verdict: Verdict): string =>
  verdict.kind === 'lives'
    ? 'lives'
    : `${verdict.kind} ${verdict.reason}${verdict.kind === 'remains' && verdict.atOnce ? ' at once' : ''}`;

suite('what one observation says of an attachment', () => {
  const cases: [what: string, facts: Facts, expected: string][] = [
    ['all of it is there', LIVING, 'lives'],
    ['its pod’s end is down, for an ADD is under way', { ...LIVING, link: 'idle' }, 'lives'],
    [
      'an ADD has its address, and no link yet',
      { ...LIVING, link: 'absent', port: 'absent', record: undefined, namespace: 'unknown' },
      'odd unproven',
    ],
    ['its port is gone', { ...LIVING, port: 'absent', portFault: 'no-port' }, 'broken no-port'],
    ['its port has another VLAN', { ...LIVING, portFault: 'port-changed' }, 'broken port-changed'],
    [
      'its port is gone, and etcd cannot be read',
      { ...LIVING, allocations: [], allocationsKnown: false, port: 'absent', portFault: 'no-port' },
      'broken no-port',
    ],
    [
      'its port is gone, and its pod’s end is down, for an ADD is under way',
      { ...LIVING, link: 'idle', port: 'absent', portFault: 'no-port' },
      'lives',
    ],
    [
      'its port is gone, and etcd gives it no address: the address may be another’s',
      { ...LIVING, allocations: [], port: 'absent', portFault: 'no-port' },
      'odd no-allocation',
    ],
    [
      'its port is gone, and it is condemned',
      { ...CONDEMNED, port: 'absent', portFault: 'no-port' },
      'remains condemned at once',
    ],
    [
      'its port is gone, and the name is another machine’s',
      { ...LIVING, ownsName: false, port: 'absent', portFault: 'no-port' },
      'lives',
    ],
    ['link, namespace and port are gone', { ...GONE, portFault: 'no-port' }, 'remains namespace-gone'],
    ['link and namespace are gone', GONE, 'remains namespace-gone'],
    ['the same, and its port too', { ...GONE, port: 'absent' }, 'remains namespace-gone'],
    ['the same, but Open vSwitch is somewhere else', { ...GONE, port: 'elsewhere' }, 'lives'],
    [
      'the same, but Open vSwitch does not answer: the teardown will wait for it',
      { ...GONE, port: 'unknown' },
      'remains namespace-gone',
    ],
    ['its link alone is gone', { ...GONE, namespace: 'lives' }, 'odd no-link'],
    [
      'its link is gone, and no record names the namespace',
      { ...GONE, namespace: 'unknown' },
      'remains link-gone',
    ],
    [
      'the same without a record: its port proves that the link was ours',
      { ...GONE, namespace: 'unknown', record: undefined },
      'remains link-gone',
    ],
    ['of another main plugin, its namespace lives', BRIDGED, 'lives'],
    [
      'of another main plugin, its namespace is gone',
      { ...BRIDGED, namespace: 'gone' },
      'remains namespace-gone',
    ],
    [
      'of another main plugin, of an older version’s record',
      { ...BRIDGED, namespace: 'unknown' },
      'odd unproven',
    ],
    ['the node has rebooted', REBOOTED, 'remains node-rebooted at once'],
    [
      'the same, its record lost',
      { ...REBOOTED, record: undefined, namespace: 'unknown' },
      'remains node-rebooted at once',
    ],
    ['the same, but it was started again under its ID', { ...REBOOTED, link: 'carrier' }, 'lives'],
    [
      'the same by another main plugin',
      {
        ...REBOOTED,
        record: { bootId: 'this', ourIpam: true, ourInterface: false, namesAddresses: true },
        namespace: 'lives',
      },
      'lives',
    ],
    [
      'that one ended again in this boot',
      { ...REBOOTED, record: { bootId: 'this', ourIpam: true, ourInterface: false, namesAddresses: true } },
      'remains node-rebooted at once',
    ],
    [
      'the same, but nothing on this disk shows that boot',
      {
        ...REBOOTED,
        allocations: [{ bootId: 'before', allocatedAt: 900, isTraced: false, isCondemned: false }],
      },
      'remains node-rebooted',
    ],
    [
      'another boot gave it, after this one began',
      {
        ...REBOOTED,
        allocations: [{ bootId: 'twin', allocatedAt: 1_000, isTraced: false, isCondemned: false }],
      },
      'odd other-boot',
    ],
    [
      'one family of before the reboot, one of this boot',
      { ...GONE, allocations: [...REBOOTED.allocations, ...GONE.allocations] },
      'remains namespace-gone',
    ],
    ['a link in use without an address', { ...LIVING, allocations: [] }, 'odd no-allocation'],
    [
      'a link that was never finished without an address',
      { ...LIVING, link: 'idle', allocations: [] },
      'remains link-without-allocation',
    ],
    [
      'the same, but etcd was not read',
      { ...LIVING, link: 'idle', allocations: [], allocationsKnown: false },
      'lives',
    ],
    [
      'the same, but no record says whose it is',
      { ...LIVING, link: 'idle', allocations: [], record: undefined },
      'lives',
    ],
    [
      'the same of another IPAM plugin',
      {
        ...LIVING,
        link: 'idle',
        allocations: [],
        record: { bootId: 'this', ourIpam: false, ourInterface: true, namesAddresses: true },
      },
      'lives',
    ],
    ['condemned, and up', CONDEMNED, 'remains condemned at once'],
    ['condemned, and never finished', { ...CONDEMNED, link: 'idle' }, 'remains condemned at once'],
    [
      'condemned, and its link is gone while its namespace lives',
      { ...CONDEMNED, link: 'absent' },
      'remains condemned at once',
    ],
    [
      'condemned, and Open vSwitch does not answer',
      { ...CONDEMNED, port: 'unknown' },
      'remains condemned at once',
    ],
    [
      'condemned, and no record tells whose it is',
      { ...CONDEMNED, record: undefined },
      'remains condemned at once',
    ],
    [
      'condemned, and a foreign port carries its mark',
      { ...CONDEMNED, port: 'elsewhere' },
      'odd condemned-not-ours',
    ],
    [
      'condemned, and another main plugin has its interface',
      { ...BRIDGED, allocations: CONDEMNED.allocations },
      'odd condemned-not-ours',
    ],
    [
      'condemned, of another boot after this one began',
      {
        ...CONDEMNED,
        allocations: [{ bootId: 'twin', allocatedAt: 2_000, isTraced: false, isCondemned: true }],
        record: undefined,
        link: 'absent',
        port: 'absent',
        namespace: 'unknown',
      },
      'remains condemned',
    ],
    [
      'condemned, of this boot, and nothing is known of it',
      { ...CONDEMNED, record: undefined, link: 'absent', port: 'absent', namespace: 'unknown' },
      'remains condemned',
    ],
    [
      'condemned, added again in this boot under another main plugin',
      {
        ...BRIDGED,
        allocations: [{ bootId: 'before', allocatedAt: 900, isTraced: true, isCondemned: true }],
      },
      'odd condemned-not-ours',
    ],
    [
      'condemned, and that interface has ended with its namespace',
      { ...BRIDGED, allocations: CONDEMNED.allocations, namespace: 'gone' },
      'remains namespace-gone',
    ],
    ['condemned on a machine that does not have the name', { ...CONDEMNED, ownsName: false }, 'lives'],
    [
      'one family condemned',
      { ...CONDEMNED, allocations: [...CONDEMNED.allocations, ...LIVING.allocations] },
      'remains condemned at once',
    ],
    ['only a port is left', BARE, 'remains port-without-device'],
    [
      'only a port is left, of an earlier boot',
      { ...BARE, record: REBOOTED.record },
      'remains port-without-device at once',
    ],
    [
      'only a port is left, and etcd was not read',
      { ...BARE, allocationsKnown: false, record: undefined, namespace: 'unknown' },
      'remains port-without-device',
    ],
    ['a port whose device is elsewhere', { ...BARE, port: 'elsewhere' }, 'lives'],
    ['only a record is left', { ...BARE, port: 'absent' }, 'remains record-left'],
    [
      'only a record is left, of an earlier boot',
      { ...BARE, port: 'absent', record: REBOOTED.record },
      'remains record-left at once',
    ],
    [
      'only a record is left, of an ADD that goes on',
      { ...BARE, port: 'absent', namespace: 'lives' },
      'lives',
    ],
    ['only a record is left, and Open vSwitch does not answer', { ...BARE, port: 'unknown' }, 'lives'],
    [
      'only a record is left, of another IPAM plugin',
      {
        ...BARE,
        port: 'absent',
        record: { bootId: 'this', ourIpam: false, ourInterface: true, namesAddresses: true },
      },
      'lives',
    ],
  ];
  for (const [what, facts, expected] of cases) {
    test(what, () => assert.equal(text(judge(facts, BOOT)), expected));
  }
});

const factsWith = (condemned: fc.Arbitrary<boolean>): fc.Arbitrary<Facts> =>
  fc.record({
    containerId: fc.constant('c1'),
    ifname: fc.constant('eth0'),
    allocations: fc.array(
      fc.record({
        bootId: fc.constantFrom('this', 'before'),
        allocatedAt: fc.integer({ min: 0, max: 3_000 }),
        isTraced: fc.boolean(),
        isCondemned: condemned,
      }),
      { maxLength: 2 },
    ),
    allocationsKnown: fc.boolean(),
    ownsName: fc.boolean(),
    link: fc.constantFrom('absent', 'idle', 'carrier'),
    port: fc.constantFrom('absent', 'present', 'elsewhere', 'unknown'),
    portFault: fc.constantFrom(undefined, ...PORT_FAULTS),
    record: fc.option(
      fc.record({
        bootId: fc.constantFrom('this', 'before', undefined),
        ourIpam: fc.boolean(),
        ourInterface: fc.boolean(),
        namesAddresses: fc.boolean(),
      }),
      { nil: undefined },
    ),
    namespace: fc.constantFrom('lives', 'gone', 'unknown'),
  });

const holds = (
  property: (facts: Facts, verdict: Verdict) => boolean,
  condemned: fc.Arbitrary<boolean> = fc.constant(false),
): void =>
  fc.assert(
    fc.property(factsWith(condemned), (each) => property(each, judge(each, BOOT))),
    { numRuns: 1_500 },
  );

suite('whatever the node shows, uncondemned unless a test says so', () => {
  test('on a machine that does not have the node name everything lives', () =>
    holds(({ ownsName }, { kind }) => ownsName || kind === 'lives', fc.boolean()));

  test('a link whose pod’s end is up is torn down only when it is condemned', () =>
    holds(
      ({ link, allocations }, { kind }) =>
        link !== 'carrier' || kind !== 'remains' || allocations.some(({ isCondemned }) => isCondemned),
      fc.boolean(),
    ));

  test('a port is made again only under a link that carries packets, and not for a condemned one', () =>
    holds(
      ({ link, portFault, allocations }, { kind }) =>
        kind !== 'broken' ||
        (link === 'carrier' &&
          portFault !== undefined &&
          !allocations.some(({ isCondemned }) => isCondemned)),
      fc.boolean(),
    ));

  test('an interface of another main plugin is never cleared while its namespace may live', () =>
    holds(
      ({ record, namespace, allocations }, { kind }) =>
        record?.ourInterface !== false ||
        namespace === 'gone' ||
        allocations.every(({ bootId }) => bootId !== 'this') ||
        kind !== 'remains',
      fc.boolean(),
    ));

  test('what has a link and an address lives, or is repaired', () =>
    holds(
      ({ link, allocations }, { kind }) =>
        link === 'absent' || allocations.length === 0 || kind === 'lives' || kind === 'broken',
    ));

  test('a link whose pod’s end is up is never torn down', () =>
    holds(({ link }, { kind }) => link !== 'carrier' || kind !== 'remains'));

  test('an address of this boot is never freed while the namespace lives, or where nothing was ever known of it', () =>
    holds(({ allocations, namespace, record, port }, { kind }) => {
      const ofThisBoot = allocations.some(({ bootId }) => bootId === 'this');
      const inDoubt = namespace === 'lives' || (namespace === 'unknown' && !record && port !== 'present');
      return !ofThisBoot || !inDoubt || kind !== 'remains';
    }));

  test('one observation proves only what an earlier boot made', () =>
    holds((each, verdict) => {
      if (verdict.kind !== 'remains' || !verdict.atOnce) return true;
      const earlier =
        each.allocations.length > 0 && each.allocations.every(({ bootId }) => bootId === 'before');
      return earlier || (each.allocations.length === 0 && each.record?.bootId === 'before');
    }));

  test('nothing is freed that another boot gave after this one began', () =>
    holds(
      ({ allocations }, { kind }) =>
        !(
          allocations.length > 0 &&
          allocations.every(({ bootId }) => bootId === 'before') &&
          allocations.some(({ allocatedAt }) => allocatedAt >= BOOT.startedAt)
        ) || kind !== 'remains',
    ));

  test('with Open vSwitch in another place than the links, only what an earlier boot had is cleared', () =>
    holds(
      ({ port, link }, verdict) =>
        port !== 'elsewhere' ||
        link !== 'absent' ||
        verdict.kind !== 'remains' ||
        verdict.reason === 'node-rebooted',
    ));
});
