import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { formatBackup, parseBackup, type BackupRecord } from '../../../../cnictl/backup/format.ts';

const SOURCE = {
  etcdPrefix: '/cellnet',
  cluster: null,
  revision: '7',
  takenAt: '2026-01-01T00:00:00.000Z',
  by: '0.1.0',
};
const records: BackupRecord[] = [
  { key: 'blocks/blue/10.20.0.0/28', value: '{"v":1}' },
  { key: 'history/10.20.0.0', value: 'anything\nat all' },
  { key: 'ranges/blue', value: '{}' },
];
const file = formatBackup(SOURCE, records).lines.join('');

suite('the file of a backup', () => {
  test('what is written is read again, whatever keys and values are', () => {
    const anyRecords = fc.uniqueArray(
      fc.record({
        key: fc.string({ minLength: 1, unit: 'grapheme' }),
        value: fc.string({ unit: 'grapheme' }),
      }),
      { selector: ({ key }) => key },
    );
    fc.assert(
      fc.property(anyRecords, (given) => {
        const { header, lines } = formatBackup(SOURCE, given);
        const back = parseBackup(lines.join(''), 'f');
        assert.deepEqual(JSON.stringify(back), JSON.stringify({ header, records: given }));
      }),
    );
  });

  test('its header says what it is of', () => {
    const { header } = parseBackup(file, 'f');
    assert.deepEqual(header.counts, { blocks: 1, history: 1, ranges: 1 });
    assert.equal(header.keys, 3);
  });

  test('any change of a byte is noticed', () => {
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.constantFrom('x', '"', '0', ' ', '\n'), (at, byte) => {
        fc.pre(file[at] !== byte);
        const changed = file.slice(0, at) + byte + file.slice(at + 1);
        assert.throws(() => parseBackup(changed, 'f'), /f cannot be restored/);
      }),
      { numRuns: 500 },
    );
  });

  test('every cut is noticed', () => {
    for (let end = 0; end < file.length - 1; end++)
      assert.throws(() => parseBackup(file.slice(0, end), 'f'), /f cannot be restored/);
  });

  const refused: [string, string, RegExp][] = [
    ['another file', '{"kind":"cellnet-check"}\n', /line 1 is no header of a backup: key 'kind'/],
    ['no JSON', 'hello\n', /line 1 is no header/],
    ['a version to come', file.replace('"version":1', '"version":2'), /key 'version' is 2: expected 1/],
    [
      'a line too few',
      file
        .split(/(?<=\n)/)
        .slice(0, -1)
        .join(''),
      /has 2 keys, and its header says 3: it is not whole/,
    ],
    ['a line of another kind', file.replace('"key":"ranges', '"name":"ranges'), /line 4: /],
  ];
  for (const [what, content, message] of refused)
    test(`refused: ${what}`, () => assert.throws(() => parseBackup(content, 'f'), message));

  test('a field that a later version adds counts for the checksum, and is no obstacle', () => {
    const { lines } = formatBackup({ ...SOURCE, more: 1 } as typeof SOURCE, records);
    assert.equal(parseBackup(lines.join(''), 'f').records.length, 3);
  });
});
