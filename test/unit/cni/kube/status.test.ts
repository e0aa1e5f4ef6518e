import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KUBE_ERROR_CODES, KubeError, remedyOf } from '../../../../cni/kube/errors.ts';
import { parseStatus, saysNotFound, statusError } from '../../../../cni/kube/status.ts';
import { status } from '../../../support/kube-api-objects.ts';

const parse = (value: unknown): ReturnType<typeof parseStatus> => parseStatus(JSON.stringify(value));

test('only the API server, of just this pod, can say that it is not there', () => {
  const details = { name: 'web-1', kind: 'pods' };
  const gone = parse(status(404, 'NotFound', 'pods "web-1" not found', { details }));
  assert.equal(saysNotFound(gone, 'pods', 'web-1'), true);
  assert.equal(saysNotFound(gone, 'pods', 'web-2'), false);
  assert.equal(saysNotFound(gone, 'nodes', 'web-1'), false);
  assert.equal(
    saysNotFound(parse(status(404, 'NotFound', 'no such path', { details: {} })), 'pods', 'web-1'),
    false,
  );
  assert.equal(saysNotFound(parse(status(404, 'Expired', '', { details })), 'pods', 'web-1'), false);
  assert.equal(saysNotFound(parse({ kind: 'Other', reason: 'NotFound', details }), 'pods', 'web-1'), false);
  assert.equal(saysNotFound(parseStatus('<html>404</html>'), 'pods', 'web-1'), false);
});

test('every status has one code', () => {
  const purpose = { verb: 'list', resource: 'pods' } as const;
  const codes = [301, 307, 400, 401, 403, 404, 409, 410, 429, 500, 503, 504].map((code) => [
    code,
    statusError('https://k', purpose, code, undefined).code,
  ]);
  assert.deepEqual(codes, [
    [301, 'refused'],
    [307, 'refused'],
    [400, 'refused'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'refused'],
    [409, 'refused'],
    [410, 'expired'],
    [429, 'unavailable'],
    [500, 'unavailable'],
    [503, 'unavailable'],
    [504, 'unavailable'],
  ]);
});

test('forbidden names the verb and the resource that a role must grant', () => {
  const { message, remedy } = statusError('https://k', { verb: 'list', resource: 'nodes' }, 403, undefined);
  assert.match(message, /verb "list" on the resource "nodes"/);
  assert.match(remedy, /--verb=get,list --resource=pods,nodes,namespaces/);
  const watch = statusError('https://k', { verb: 'watch', resource: 'endpointslices' }, 403, undefined);
  assert.match(watch.message, /"watch" on the resource "endpointslices" of the API group discovery\.k8s\.io/);
  assert.match(watch.remedy, /--verb=list,watch --resource=services,endpointslices\.discovery\.k8s\.io/);
});

test('a 403 that authorization did not send is no missing right', () => {
  const of = (message: string): KubeError =>
    statusError('https://k', { verb: 'create', resource: 'pods' }, 403, {
      ...{ reason: 'Forbidden', message },
      details: { name: 'x', kind: 'pods', retryAfterSeconds: undefined },
    });
  const quota = of('pods "x" is forbidden: exceeded quota: small');
  assert.equal(quota.code, 'forbidden');
  assert.match(quota.message, /forbids to create pods: 403, "pods "x" is forbidden: exceeded quota/);
  assert.match(quota.remedy, /^It is no missing right/);
  const rbac = of(
    'pods is forbidden: User "u" cannot create resource "pods" in API group "" at the cluster scope',
  );
  assert.match(rbac.message, /the verb "create" on the resource "pods"/);
});

test('every code has a remedy, and keeps cause and status', () => {
  for (const code of KUBE_ERROR_CODES) assert.match(remedyOf(code), /\.$/);
  const cause = new Error('inner');
  const error = new KubeError('refused', 'outer', { cause, status: 418 });
  assert.deepEqual([error.cause, error.status, error.remedy], [cause, 418, remedyOf('refused')]);
});
