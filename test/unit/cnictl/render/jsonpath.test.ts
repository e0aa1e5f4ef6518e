import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { JsonPathError, parseJsonPath } from '../../../../cnictl/render/jsonpath.ts';
import { renderJsonPath } from '../../../../cnictl/render/jsonpath-evaluate.ts';

const LIST = [
  {
    ip: '10.0.0.1',
    state: 'used',
    n: 3,
    pod: { name: 'web-1', labels: { 'app.kubernetes.io/name': 'web' } },
  },
  { ip: '10.0.0.2', state: 'kept', n: 10, pod: null, tags: ['a', 'b', 'c'] },
];
const print = (template: string, data: unknown = LIST): string =>
  renderJsonPath(parseJsonPath(template), data);

suite('JSONPath prints what kubectl would', () => {
  for (const [template, expected] of [
    ['{.items[*].ip}', '10.0.0.1 10.0.0.2'],
    ['{[*].ip}', '10.0.0.1 10.0.0.2'],
    ['[*].ip', '10.0.0.1 10.0.0.2'],
    ['{$[0].ip}', '10.0.0.1'],
    ['{$.items[0].ip}', '10.0.0.1'],
    ['{[-1].ip}', '10.0.0.2'],
    ['{[-3].ip}', ''],
    ['{[-9].ip}', ''],
    ['{[2].ip}', ''],
    ['{[0:1].ip}', '10.0.0.1'],
    ['{[-1:].ip}', '10.0.0.2'],
    ['{[1].tags[::2]}', 'a c'],
    ['{[1].tags[:-1]}', 'a b'],
    ['{[1].tags[0:3:2]}', 'a c'],
    ['{[1].tags[0,2]}', 'a c'],
    ["{[0]['ip','state']}", '10.0.0.1 used'],
    ['{.items[?(@.state=="used")].ip}', '10.0.0.1'],
    ["{.items[?(@.state!='used')].ip}", '10.0.0.2'],
    ['{.items[?(@.n>3)].ip}', '10.0.0.2'],
    ['{.items[?(@.n<=3)].ip}', '10.0.0.1'],
    ['{.items[?(@.tags)].ip}', '10.0.0.2'],
    ['{.items[?(@.pod.name)].ip}', '10.0.0.1'],
    ['{..name}', 'web-1'],
    ['{range .items[*]}{.ip}{"\\t"}{.state}{"\\n"}{end}', '10.0.0.1\tused\n10.0.0.2\tkept\n'],
    ['{range [*]}{range .tags[*]}<{@}>{end}{end}', '<a><b><c>'],
    ['ip: {[0].ip}, {[0].n}', 'ip: 10.0.0.1, 3'],
    ['{[0].pod.labels.app\\.kubernetes\\.io/name}', 'web'],
    ["{[0].pod.labels['app.kubernetes.io/name']}", 'web'],
    ['{[1].tags}', '["a","b","c"]'],
    ['{[1].pod}|{[0].none}|{[0].none.deeper}', '||'],
    ['{[0].ip}{" "}{[1].ip}', '10.0.0.1 10.0.0.2'],
    ['{.}', JSON.stringify(LIST)],
  ] as const)
    test(template, () => assert.equal(print(template), expected));

  test('control characters of foreign names are escapes', () => {
    assert.equal(print('{.name}{"\\n"}', { name: 'a\u001b[2J' }), 'a\\u001b[2J\n');
  });

  test('items of an object are its own', () => {
    assert.equal(print('{.items[*].a}', { items: [{ a: 1 }, { a: 2 }] }), '1 2');
  });
});

suite('a wrong JSONPath tells where', () => {
  for (const [template, at, message] of [
    ['', 0, /expected an expression/],
    ['{.items[}', 8, /expected a number.*found '}'/],
    ['{.items[0}', 9, /expected ']', found '}'/],
    ['{.items[?(@.x=="y"]}', 18, /expected '\)'/],
    ['{.items[?(@.x=)]}', 13, /expected == != /],
    ['{.items[?(@.x ~ 1)]}', 14, /expected == != /],
    ['{range .items[*]}{.ip}', 0, /without its \{end\}/],
    ['{.ip}{end}', 5, /without a \{range/],
    ['{.a b', 5, /expected an expression/],
    ["{.a['b}", 4, /expected ' at the end/],
    ['{}', 1, /expected an expression/],
    ['{[0:2:0]}', 7, /a step of 1 or more/],
    ['.a)', 2, /or the end/],
  ] as const)
    test(template, () => {
      assert.throws(
        () => parseJsonPath(template),
        (error: unknown) => {
          assert.ok(error instanceof JsonPathError);
          assert.match(error.message, message);
          assert.equal(error.at, at);
          return true;
        },
      );
    });
});
