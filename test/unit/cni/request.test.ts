import assert from 'node:assert/strict';
import { test } from 'node:test';
import { podOf } from '../../../cni/protocol/request.ts';

test('the pod of a call, as far as its CNI_ARGS tell; what is no name of Kubernetes is left out', () => {
  const of = (args: string | undefined): string | undefined => podOf({ CNI_ARGS: args });
  assert.equal(of('IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0'), 'shop/web-0');
  assert.equal(of('K8S_POD_NAME=web-0'), '/web-0');
  for (const nothing of [undefined, '', 'IgnoreUnknown=1', 'K8S_POD_NAME=a\nb', 'nonsense'])
    assert.equal(of(nothing), undefined);
});
