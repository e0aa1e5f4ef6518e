import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { MACHINE, type Check } from '../../../../cnictl/connectivity/check.ts';
import { checksOf } from '../../../../cnictl/connectivity/checks.ts';
import { clientPods, serverPods } from '../../../../cnictl/connectivity/plan.ts';
import { factsOf, ONE, TWO } from './facts.ts';

const from = (checks: readonly Check[], client: string): string[] =>
  checks.filter((check) => check.from === client).map(({ name }) => name);

suite('which checks there are', () => {
  test('on two nodes every client is a pod of the plan, and every server too', () => {
    const { checks } = checksOf(TWO, factsOf(TWO, { externalIp: '198.51.100.7' }));
    const clients = new Set(checks.map((check) => check.from));
    const planned = clientPods(TWO).map(({ name }) => name);
    assert.deepEqual([...clients].sort(), [...planned, MACHINE].sort());
    const pods = new Set([...serverPods(TWO), ...clientPods(TWO)].map(({ name }) => name));
    assert.deepEqual(
      checks.flatMap(({ needs }) => needs).filter((name) => !pods.has(name)),
      [],
    );
  });

  test('each client asks the server of its own node and that of the other', () => {
    const { checks } = checksOf(TWO, factsOf(TWO));
    const tcp = (client: string): (string | undefined)[] =>
      checks
        .filter((check) => check.from === client && /endpoint on (its|another) node, TCP/.test(check.name))
        .map(({ expected }) => (expected.kind === 'answer' ? expected.by : undefined));
    assert.deepEqual(tcp('client-a'), ['server-a', 'server-b']);
    assert.deepEqual(tcp('client-b'), ['server-b', 'server-a']);
  });

  test('on one node what needs two is skipped, and said', () => {
    const { checks, skipped } = checksOf(ONE, factsOf(ONE));
    assert.ok(
      !checks.some(({ name, from }) => /another node|Policy Local:/.test(name) || from.endsWith('-b')),
    );
    assert.deepEqual(
      skipped.filter(({ reason }) => /only one node/.test(reason)).map(({ name }) => name),
      ['an endpoint on another node', 'internalTrafficPolicy Local'],
    );
  });

  test('both families: a check for each address, and a pod that sees itself at that of the family', () => {
    const facts = factsOf(TWO, { families: [4, 6] });
    const services = new Map(
      [...facts.services].map(([name, it]) => [name, { ...it, addresses: [...it.addresses, 'fd00:96::1'] }]),
    );
    const { checks, skipped } = checksOf(TWO, { ...facts, services });
    const itself = checks.filter(({ name, from }) => /reaches itself/.test(name) && from === 'client-a');
    assert.deepEqual(
      itself.map(({ name, expected }) => [name, expected.kind === 'answer' && expected.source]),
      [
        ['a pod reaches itself', { address: '169.254.206.17' }],
        ['a pod reaches itself, IPv6', { address: 'fd00:ce11::ce11' }],
      ],
    );
    assert.deepEqual(
      skipped.map(({ name }) => name),
      ['from the node over IPv6', 'external addresses'],
    );
    assert.ok(!from(checks, 'host-client-a').some((name) => /IPv6/.test(name)));
    assert.ok(checks.every(({ ask, name }) => ask.kind !== 'large' || !/IPv6/.test(name)));
  });

  test('without kube-proxy nothing is asked of it', () => {
    const { checks, skipped } = checksOf(TWO, factsOf(TWO, { hasKubeProxy: false }));
    assert.deepEqual(from(checks, 'host-client-a'), ['hostPort']);
    assert.deepEqual(from(checks, MACHINE), ['hostPort']);
    assert.ok(skipped.some(({ reason }) => /--no-kube-proxy/.test(reason)));
  });

  test('only what the key needs depends on it', () => {
    const { checks } = checksOf(TWO, factsOf(TWO));
    const needing = checks.filter(({ needsKey }) => needsKey).map(({ name, from }) => `${from}: ${name}`);
    const local = 'NodePort, externalTrafficPolicy Local';
    assert.deepEqual(needing, [
      'host-client-b: hostPort',
      'this machine: hostPort',
      `client-a: ${local}`,
      `client-b: ${local}`,
      `host-client-b: ${local}`,
      `this machine: ${local}`,
    ]);
  });

  test('no server on the network of pods: nothing is said of families', () => {
    const { skipped } = checksOf(TWO, factsOf(TWO, { families: [] }));
    assert.ok(!skipped.some(({ reason }) => /pods have no IPv/.test(reason)));
    assert.ok(skipped.some(({ reason }) => reason === 'no server started on the network of pods'));
  });

  test('what the cluster does not have or tell is skipped with its reason', () => {
    const facts = factsOf(TWO, {
      apiServer: { reason: 'forbidden' },
      dns: { reason: 'there is no Service kube-system/kube-dns' },
      externalIp: '198.51.100.7',
    });
    const services = new Map(facts.services).set('external-1', { addresses: [], problem: 'denied' });
    const { checks, skipped } = checksOf(TWO, { ...facts, services });
    assert.deepEqual(skipped.slice(1), [
      { name: 'the API server', reason: 'forbidden' },
      { name: 'cluster DNS', reason: 'there is no Service kube-system/kube-dns' },
      { name: 'external addresses', reason: 'denied' },
    ]);
    assert.ok(!checks.some(({ name }) => /external address/.test(name)));
  });
});
