import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  GRPCDataLossError,
  GRPCDeadlineExceededError,
  GRPCFailedPreconditionError,
  GRPCResourceExhastedError,
  GRPCUnavailableError,
  GRPCUnknownError,
} from 'etcd3';
import { isWorthAnotherEndpoint, translateError } from '../../../ipam/store/etcd/errors.ts';

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

test('a member that cannot serve is no failure of the cluster: another is asked, and the call repeated', () => {
  const unable = [
    new GRPCDeadlineExceededError('4 DEADLINE_EXCEEDED: Deadline exceeded'),
    new GRPCFailedPreconditionError('9 FAILED_PRECONDITION: etcdserver: rpc not supported for learner'),
    new GRPCFailedPreconditionError('9 FAILED_PRECONDITION: etcdserver: not leader'),
    new GRPCResourceExhastedError('8 RESOURCE_EXHAUSTED: etcdserver: too many requests'),
    new GRPCUnknownError('2 UNKNOWN: context deadline exceeded'),
  ];
  for (const error of unable) {
    assert.equal(isWorthAnotherEndpoint(error), true, error.message);
    const { code, uncertain } = translateError(error, 'http://10.0.0.1:2379', true);
    assert.deepEqual([code, uncertain], ['store-unreachable', true], error.message);
  }
  const ofAll = [
    new GRPCFailedPreconditionError('9 FAILED_PRECONDITION: etcdserver: authentication is not enabled'),
    new GRPCUnknownError('2 UNKNOWN: etcdserver: something else'),
  ];
  for (const error of ofAll) {
    assert.equal(isWorthAnotherEndpoint(error), false, error.message);
    assert.equal(translateError(error, 'http://10.0.0.1:2379', true).code, 'store-failed', error.message);
  }
});

test('alarms with which etcd serves reads only: no other member is asked; the alarm and the remedy are named', () => {
  const full = new GRPCResourceExhastedError(
    '8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded',
  );
  const corrupt = new GRPCDataLossError('15 DATA_LOSS: etcdserver: corrupt cluster');
  const told = [full, corrupt].map((error) => {
    assert.equal(isWorthAnotherEndpoint(error), false);
    return translateError(error, 'http://10.0.0.1:2379', true);
  });
  assert.deepEqual(
    told.map(({ code, message, remedy }) => [code, message, remedy]),
    [
      [
        'store-read-only',
        'etcd at http://10.0.0.1:2379 has used up its quota (alarm NOSPACE), so it refuses every write: etcdserver: mvcc: database space exceeded',
        'Compact etcd and defragment each member (`etcdctl compact`, `etcdctl defrag --cluster`), then `etcdctl alarm disarm`.',
      ],
      [
        'store-read-only',
        'etcd at http://10.0.0.1:2379 is corrupt (alarm CORRUPT), so it refuses every write: etcdserver: corrupt cluster',
        'Replace the member that `etcdctl alarm list` names, then `etcdctl alarm disarm`.',
      ],
    ],
  );
});
