import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConntrack } from '../../../../cni/ovsdb/conntrack.ts';

test('connections of a datapath, one a line', () => {
  const text = [
    'tcp,orig=(src=10.20.3.49,dst=10.96.0.11,sport=45954,dport=80),reply=(src=10.20.0.32,dst=10.20.3.49,sport=8080,dport=45954),zone=52753,timeout=29,mark=1,protoinfo=(state=TIME_WAIT)',
    'udp,orig=(src=fd00:20::5,dst=fd00:96::a,sport=5,dport=53,packets=1,bytes=60),reply=(src=fd00:20::7,dst=fd00:20::5,sport=5353,dport=5),zone=52753',
    'icmp,orig=(src=10.20.3.49,dst=10.96.0.11,id=1,type=8,code=0),reply=(src=10.20.0.32,dst=10.20.3.49,id=1,type=0,code=0),zone=52753',
    '',
  ].join('\n');
  assert.deepEqual(parseConntrack(text), [
    {
      protocol: 'tcp',
      client: { address: '10.20.3.49', port: 45954 },
      service: { address: '10.96.0.11', port: 80 },
      server: { address: '10.20.0.32', port: 8080 },
      state: 'TIME_WAIT',
    },
    {
      protocol: 'udp',
      client: { address: 'fd00:20::5', port: 5 },
      service: { address: 'fd00:96::a', port: 53 },
      server: { address: 'fd00:20::7', port: 5353 },
      state: undefined,
    },
  ]);
});
