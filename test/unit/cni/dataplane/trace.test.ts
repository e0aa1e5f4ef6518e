import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { parseTrace, type Trace } from '../../../../cni/dataplane/trace.ts';
import { tellTrace } from '../../../../cni/dataplane/trace-story.ts';

/** Answers of Open vSwitch 3.1.0, recorded on a node of test/system/services/world.ts. */
const text = (name: string): string =>
  readFileSync(join(import.meta.dirname, 'traces', `${name}.txt`), 'utf8');
const read = (name: string): Trace => {
  const trace = parseTrace(text(name));
  assert.ok(trace, name);
  return trace;
};

suite('ofproto/trace', () => {
  for (const [name, tables, outcome, endpoint, last] of [
    ['near', 'classify service balance endpoint', 'forwarded', '10.20.1.80 8080', /pod of this bridge/],
    ['far', 'classify service balance endpoint', 'forwarded', '10.20.0.112 8080', /another node/],
    ['other-vlan', 'classify service balance endpoint', 'flooded', '10.30.3.128 8080', /behind the gateway/],
    [
      'near-ipv6',
      'classify service balance endpoint',
      'forwarded',
      'fd00:20::fb:7c98:b8ea:a000 8080',
      /this bridge/,
    ],
    ['self', 'classify service balance endpoint hairpin', 'forwarded', '10.20.1.81 8080', /back to the pod/],
    [
      'sticky',
      'classify service balance affinity sticky sticky endpoint',
      'forwarded',
      /^10\.20\.\S+ 8080$/,
      /VLAN/,
    ],
    ['closed', 'classify service balance', 'dropped', undefined, /admits do not have the pod/],
    ['no-endpoints', 'classify service balance', 'refused', undefined, /no endpoint/],
    ['other-port', 'classify service otherPort', 'refused', undefined, /no such port/],
    ['ping', 'classify service otherPort', 'dropped', undefined, /no echo request/],
    ['ping-ipv6', 'classify service local', 'flooded', undefined, /no pod of this bridge/],
    ['no-service', 'classify service local', 'flooded', undefined, /no pod of this bridge/],
    ['outside', 'classify service local', 'flooded', undefined, /no pod of this bridge/],
    ['to-pod', 'classify service local reply', 'forwarded', undefined, /no endpoint of a Service/],
  ] as const) {
    test(`${name}: ${outcome}`, () => {
      const story = tellTrace(read(name));
      assert.equal(story.steps.map(({ table }) => table).join(' '), tables);
      assert.equal(story.outcome, outcome);
      const found = story.endpoint && `${story.endpoint.address} ${story.endpoint.port}`;
      if (endpoint instanceof RegExp) assert.match(found ?? '', endpoint);
      else assert.equal(found, endpoint);
      assert.match(story.steps.at(-1)?.text ?? '', last);
    });
  }

  test('the ports that a packet leaves by, and its MAC then', () => {
    assert.deepEqual(read('near').outputs, [3]);
    assert.deepEqual(read('other-vlan').outputs, [1, 2, 3]);
    assert.deepEqual(read('closed').outputs, []);
    assert.equal(tellTrace(read('near')).mac, '0a:58:0a:14:01:50');
    assert.equal(tellTrace(read('self')).seenAs, '169.254.206.17');
    assert.equal(tellTrace(read('near')).seenAs, undefined);
  });

  test('a flow, its match, and what it does', () => {
    const [classify, service] = read('near').steps;
    assert.deepEqual(classify?.flow, {
      ...{ match: 'ip,in_port=4,vlan_tci=0x0000/0x1fff', priority: 2, cookie: 0xce11_0100_0000_0004n },
    });
    assert.deepEqual(classify.actions, ['set_field:0x78->reg2', 'resubmit(,120)']);
    assert.equal(service?.actions[0], 'ct(table=122,zone=52753,nat)');
  });

  test('flows of others are told with their cookie', () => {
    const foreign = text('to-pod').replace('cookie 0xce11010000000004', 'cookie 0x2a');
    const trace = parseTrace(foreign);
    assert.match(
      trace ? (tellTrace(trace).steps[0]?.text ?? '') : '',
      /not cellnet's \(cookie 0x2a, ip,in_port=4/,
    );
  });

  test('another text is no trace', () => {
    for (const each of ['', 'unknown bridge', 'Flow: tcp\n']) assert.equal(parseTrace(each), undefined);
  });
});
