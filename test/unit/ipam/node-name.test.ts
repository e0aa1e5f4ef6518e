import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isSameNodeName, mayBeSameNode, NodeDirectory } from '../../../ipam/model/node-name.ts';

suite('names of nodes', () => {
  const cases: readonly (readonly [a: string, b: string, same: boolean, maybe: boolean])[] = [
    ['node-1', 'node-1', true, true],
    ['Node-1', 'node-1', true, true],
    ['node-1', 'node-1.example.com', false, true],
    ['NODE-1.Example.com', 'node-1', false, true],
    ['node-1.example', 'node-1.example.com', false, true],
    ['node-1', 'node-11', false, false],
    ['node-1', 'node-11.example.com', false, false],
    ['node-1.example.com', 'node-1.example.org', false, false],
    ['10.0.0.1', '10.0.0.11', false, false],
  ];
  for (const [a, b, same, maybe] of cases) {
    test(`${a} and ${b}: ${same ? 'the same' : maybe ? 'perhaps one machine' : 'two machines'}`, () => {
      for (const [one, other] of [
        [a, b],
        [b, a],
      ] as const) {
        assert.equal(isSameNodeName(one, other), same);
        assert.equal(mayBeSameNode(one, other), maybe);
        const directory = new NodeDirectory(['worker-7.example.com', other]);
        assert.equal(directory.same(one), same ? other : undefined);
        assert.equal(directory.find(one), maybe ? other : undefined);
      }
    });
  }

  test('of several names that may be meant, the same one is found', () => {
    const directory = new NodeDirectory(['a.example.com', 'a', 'a.example']);
    assert.equal(directory.find('A'), 'a');
    assert.equal(directory.find('a.example'), 'a.example');
    assert.equal(directory.find('a.example.com.'), 'a.example.com');
    assert.equal(directory.size, 3);
    assert.equal(new NodeDirectory([]).find('a'), undefined);
  });
});
