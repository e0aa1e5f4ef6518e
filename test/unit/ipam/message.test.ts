import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageOf } from '../../../ipam/model/errors.ts';

test('an error without a message is told by what it has', () => {
  const refused = ['::1', '127.0.0.1'].map((host) => new Error(`connect ECONNREFUSED ${host}:2379`));
  const cases: [error: unknown, message: string][] = [
    [new Error('lost'), 'lost'],
    [new AggregateError(refused), 'connect ECONNREFUSED ::1:2379; connect ECONNREFUSED 127.0.0.1:2379'],
    [new AggregateError([], 'all failed'), 'all failed'],
    [Object.assign(new Error(), { code: 'ECONNRESET' }), 'ECONNRESET'],
    [new TypeError(), 'TypeError'],
    ['lost', 'lost'],
  ];
  for (const [error, message] of cases) assert.equal(messageOf(error), message);
});
