import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Ask, Outcome } from '../../../../cnictl/connectivity/ask.ts';
import { MACHINE, type Check, type Expected } from '../../../../cnictl/connectivity/check.ts';
import { adviceFor, judge } from '../../../../cnictl/connectivity/judge.ts';
import {
  parseLog,
  rowOf,
  rowsOfNothing,
  tasksOf,
  type Known,
} from '../../../../cnictl/connectivity/results.ts';
import { factsOf, TWO } from './facts.ts';

const TCP: Ask = { kind: 'tcp', address: '10.96.0.1', port: 80 };
const check = (expected: Expected, more: Partial<Check> = {}): Check => ({
  ...{ name: 'x', from: 'client-a', to: 'only-a, 10.96.0.1:80', needs: ['server-a'], ask: TCP },
  ...{ expected, by: 'bridge' },
  ...more,
});
const isOk = (expected: Expected, outcome: Outcome, ask: Ask = TCP): boolean =>
  judge(check(expected, { ask }), outcome).ok;

suite('how an outcome is judged', () => {
  const own: Expected = { kind: 'answer', by: 'server-a', source: 'own' };

  test('the right server, and the source that it must see', () => {
    const answer = { name: 'server-a', seen: '10.20.0.5', from: '10.20.0.5' };
    assert.ok(isOk(own, answer));
    assert.ok(!isOk(own, { ...answer, name: 'server-b' }));
    assert.ok(!isOk(own, { ...answer, seen: '192.168.0.1' }));
    assert.ok(!isOk(own, { name: 'server-a' }));
    assert.ok(!isOk(own, { error: 'no answer', ms: 3_000 }));
    assert.ok(isOk({ ...own, source: 'any' }, { ...answer, seen: '192.168.0.1' }));
    const itself: Expected = { ...own, source: { address: '169.254.206.17' } };
    assert.ok(isOk(itself, { ...answer, seen: '169.254.206.17' }));
    assert.ok(!isOk(itself, answer));
  });

  test('a large datagram arrives, and comes back, in full', () => {
    const ask: Ask = { kind: 'large', address: '10.96.0.1', port: 80, bytes: 4_000 };
    const answer = { name: 'server-a', seen: 'x', from: 'x', bytes: 4_000, received: 4_000 };
    assert.ok(isOk(own, answer, ask));
    assert.ok(!isOk(own, { ...answer, received: 1_472 }, ask));
    assert.match(judge(check(own, { ask }), answer).expected, /own address, with 4000 bytes$/);
  });

  test('several servers: all and nobody else, or always one', () => {
    const each: Expected = { kind: 'each', of: ['server-a', 'server-b'] };
    assert.ok(isOk(each, { answers: { 'server-b': 1, 'server-a': 39 } }));
    assert.ok(!isOk(each, { answers: { 'server-a': 40 } }));
    assert.ok(!isOk(each, { answers: { 'server-a': 20, 'server-b': 19, 'no answer': 1 } }));
    const one: Expected = { kind: 'one', of: each.of };
    assert.ok(isOk(one, { answers: { 'server-b': 20 } }));
    assert.ok(!isOk(one, { answers: { 'server-b': 19, 'server-a': 1 } }));
    assert.ok(!isOk(one, { answers: { 'no answer': 1 } }));
  });

  test('refused at once is neither silence nor a late refusal', () => {
    const refusal: Expected = { kind: 'refusal' };
    assert.ok(isOk(refusal, { error: 'ECONNREFUSED', ms: 4 }));
    assert.ok(!isOk(refusal, { error: 'ECONNREFUSED', ms: 1_004 }));
    assert.ok(!isOk(refusal, { error: 'no answer', ms: 3_000 }));
    assert.ok(!isOk(refusal, { name: 'server-a' }));
  });

  test('an endpoint that goes: its UDP connection moves, the TCP connection of the other stays', () => {
    const moved: Expected = { kind: 'moved' };
    const outcome = { name: 'leaver-a', movedFrom: 'leaver-b', movedTo: 'leaver-a' };
    assert.ok(isOk(moved, outcome));
    assert.ok(!isOk(moved, { ...outcome, movedTo: 'leaver-b' }));
    assert.ok(!isOk(moved, { error: 'the open TCP connection: closed', ms: 900 }));
  });

  test('a connection, and an address by DNS', () => {
    assert.ok(isOk({ kind: 'connection' }, { ms: 2 }));
    assert.ok(!isOk({ kind: 'connection' }, { error: 'ECONNREFUSED', ms: 2 }));
    assert.ok(isOk({ kind: 'address', address: '10.96.0.1' }, { addresses: ['10.96.0.1'] }));
    assert.ok(!isOk({ kind: 'address', address: '10.96.0.1' }, { addresses: [], error: 'code 3' }));
  });

  test('the advice is a command of the node of the client', () => {
    const advice = (more: Partial<Check>): string => adviceFor(check(own, more), 'ns', 'n1');
    assert.match(
      advice({}),
      /on node n1: cnictl service show ns\/only-a; cnictl trace ns\/client-a 10\.96\.0\.1:80$/,
    );
    const udp: Ask = { kind: 'udp', address: 'fd00::1', port: 80 };
    assert.match(advice({ ask: udp }), /trace ns\/client-a \[fd00::1\]:80\/udp$/);
    assert.match(advice({ to: 'default/kubernetes, 10.96.0.1:443' }), /service show default\/kubernetes;/);
    assert.match(
      advice({ by: 'kube-proxy' }),
      /^kube-proxy serves it, not the bridge: does it run on node n1\?/,
    );
    assert.match(advice({ by: 'portmap' }), /^The plugin portmap makes it/);
  });
});

suite('what the clients wrote', () => {
  const pods = [
    { name: 'client-a', node: 'n1' },
    { name: 'server-a', node: 'n1' },
  ];
  const known: Known = {
    ...{ namespace: 'ns', pods, broken: new Map(), unread: new Map(), hasKey: false },
    ...{ subnets: ['10.20.0.9/16'], machineIsApart: false },
    addresses: new Map([['client-a', ['10.20.0.5']]]),
  };
  const any: Expected = { kind: 'answer', by: 'server-a', source: 'any' };

  test('a log: one line a task, in any order, between lines of others', () => {
    const text =
      '(node:1) Warning: x\n{"task":1,"outcome":{"name":"b"}}\n{"leaver":"leaver-a"}\n{"task":0,"outcome":{"error":"no answer"}}\n{"task":2,"out';
    const { outcomes, leaver, isDone } = parseLog(text);
    assert.deepEqual(
      [...outcomes],
      [
        [1, { name: 'b' }],
        [0, { error: 'no answer' }],
      ],
    );
    assert.deepEqual([leaver, isDone], ['leaver-a', false]);
    const nothing = { outcomes: new Map(), leaver: undefined, subnets: [], isDone: false };
    assert.deepEqual(parseLog('null\n1\n'), nothing);
    const own = '{"subnets":["10.20.0.5/16"]}\n{"done":true}\n';
    assert.deepEqual(parseLog(own), { ...nothing, subnets: ['10.20.0.5/16'], isDone: true });
  });

  test('what a client waits for before it asks', () => {
    const until = (expected: Expected, more: Partial<Check> = {}): unknown =>
      tasksOf([check(expected, more)])[0]?.until;
    assert.equal(until(any), 'answer');
    assert.equal(until({ kind: 'refusal' }), 'refusal');
    assert.deepEqual(until({ kind: 'each', of: ['server-a'] }), ['server-a']);
    assert.equal(until(any, { needsKey: true }), 'nothing');
  });

  test('a failed row tells pods, nodes and addresses; one without an outcome failed too', () => {
    const row = rowOf(check(any), { error: 'no answer', ms: 3_001 }, known);
    assert.equal(row.result, 'failed');
    assert.deepEqual(
      [row.from, row.to],
      ['client-a on n1 (10.20.0.5)', 'only-a, 10.96.0.1:80: server-a on n1'],
    );
    assert.deepEqual([row.expected, row.seen], ['server-a answers', 'no answer after 3001 ms']);
    assert.match(rowOf(check(any), undefined, known).seen ?? '', /^no result/);
  });

  test('a pod that does not run is what the row tells', () => {
    const broken = new Map([['server-a', 'Pending: ErrImagePull']]);
    const row = rowOf(check(any), { error: 'no answer' }, { ...known, broken });
    assert.deepEqual(
      [row.result, row.expected, row.seen],
      ['failed', 'pod server-a runs', 'Pending: ErrImagePull'],
    );
    assert.match(row.advice ?? '', /describe pod server-a$/);
  });

  test('a client whose log could not be read', () => {
    const unread = new Map([['client-a', 'its log cannot be read: 502']]);
    const row = rowOf(check(any), undefined, { ...known, unread });
    assert.deepEqual([row.result, row.seen], ['failed', 'no result: its log cannot be read: 502']);
    assert.equal(rowOf(check(any), { name: 'server-a' }, { ...known, unread }).result, 'ok');
  });

  test('rows of a machine that does not reach the nodes are skipped', () => {
    const row = rowOf(check(any, { from: MACHINE }), undefined, { ...known, machineIsApart: true });
    assert.deepEqual([row.result, row.reason], ['skipped', 'this machine does not reach the nodes']);
    assert.equal(rowOf(check(any), undefined, { ...known, machineIsApart: true }).result, 'failed');
  });

  test('hostPort: a pod of another subnet than the published one needs the key', () => {
    const asked = check(any, {
      ...{ by: 'portmap', needsKeyBeyondSubnet: true },
      ask: { kind: 'tcp', address: '192.168.0.1', port: 28_872 },
    });
    const lost = { error: 'no answer', ms: 3_000 };
    const result = (subnets: string[], more: Partial<Check> = {}): string =>
      rowOf({ ...asked, ...more }, lost, { ...known, subnets }).result;
    assert.equal(result(['10.20.0.9/16', 'fd00::9/64']), 'failed');
    assert.equal(result(['10.21.0.9/16', 'fd00::9/64']), 'skipped');
    assert.equal(result(['10.21.0.9/16'], { needsKeyBeyondSubnet: false }), 'failed');
    assert.equal(result([]), 'failed');
  });

  test('Services without an address of the family of pods are a failed row', () => {
    const facts = factsOf(TWO);
    assert.deepEqual(rowsOfNothing(facts), []);
    const services = new Map([...facts.services.keys()].map((name) => [name, { addresses: [] }]));
    const [row] = rowsOfNothing({ ...facts, services });
    assert.deepEqual(
      [row?.result, row?.seen],
      ['failed', 'pods have IPv4 addresses, and no Service has one'],
    );
  });

  test('what needs the key is skipped where nobody says that it is set', () => {
    const keyed = check(any, { needsKey: true });
    const lost = { error: 'no answer', ms: 3_000 };
    assert.match(rowOf(keyed, lost, known).reason ?? '', /--masquerade-forwarded/);
    assert.equal(rowOf(keyed, lost, { ...known, hasKey: true }).result, 'failed');
    assert.equal(rowOf(keyed, { name: 'server-a' }, known).result, 'ok');
  });
});
