import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseHealth } from '../../../../cnictl/doctor/ask-agent.ts';
import { judgeMasquerade } from '../../../../cnictl/doctor/masquerade.ts';

const SOCKET = '/run/cellnet/agent.sock';

/** @param masquerade what the agent reports; undefined: nothing */
function lines(masquerade: object | undefined, masqueradeForwarded?: boolean): string[] {
  const health = parseHealth(JSON.stringify({ ok: true, version: '1.2.3', masquerade }));
  const settings = { ...(masqueradeForwarded !== undefined && { masqueradeForwarded }) };
  return judgeMasquerade(SOCKET, { answers: true, health }, settings).map(
    ({ level, detail }) => `${level}: ${detail}`,
  );
}

suite('doctor: masquerading', () => {
  test('no line where the key is off, or the agent does not answer', () => {
    assert.deepEqual([lines(undefined), lines(undefined, false)], [[], []]);
    const silent = { answers: false, health: undefined };
    assert.deepEqual(judgeMasquerade(SOCKET, silent, { masqueradeForwarded: true }), []);
  });

  test('in place; put back; not in place', () => {
    assert.deepEqual(lines({ ranges: 2, restored: 0 }, true), ['ok: in place for 2 ranges']);
    assert.match(lines({ ranges: 1, restored: 1 })[0] ?? '', /^warn: in place for 1 range; .* 1 time, and/);
    const reason = 'the program nft cannot be started';
    assert.match(
      lines({ ranges: 0, restored: 0, reason }, true)[0] ?? '',
      /^fail: is not in place: the program nft cannot be started; NodePorts and hostPorts may/,
    );
  });

  test('an agent that has not read the key, and none', () => {
    assert.match(lines(undefined, true)[0] ?? '', /^fail: the agent runs without key "masqueradeForwarded"/);
    const [line] = judgeMasquerade(
      false,
      { answers: false, health: undefined },
      { masqueradeForwarded: true },
    );
    assert.equal(line?.level, 'warn');
  });
});
