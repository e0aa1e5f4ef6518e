import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GRPCUnavailableError } from 'etcd3';
import { translateError } from '../../../ipam/store/etcd/errors.ts';

test('an endpoint that is unreachable: the cause, if gRPC knows one', () => {
  const messageFor = (text: string): string =>
    translateError(new GRPCUnavailableError(text), 'http://10.0.0.1:2379', false).message;
  const text = '14 UNAVAILABLE: No connection established. Last error:';
  assert.equal(
    messageFor(`${text} Error: connect ECONNREFUSED 10.0.0.1:2379. Resolution note: `),
    'etcd at http://10.0.0.1:2379 is unreachable: connect ECONNREFUSED 10.0.0.1:2379',
  );
  for (const nothing of ['null', 'undefined']) {
    assert.equal(
      messageFor(`${text} ${nothing}. Resolution note: `),
      'etcd at http://10.0.0.1:2379 is unreachable: No connection established',
    );
  }
});
