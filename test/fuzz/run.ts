/**
 * Calls the plugins as functions, on a fake platform that records calls, with malformed input.
 * Checks every reply.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { CNI_CODES } from '../../cni/protocol/errors.ts';
import type { Output } from '../../cni/protocol/invocation.ts';
import { dispatch } from '../../cni/verbs/dispatch.ts';
import { FakePlatform } from '../unit/cni/fake-platform.ts';
import { fuzzInput, type FuzzInput } from './inputs.ts';

export interface FuzzTotals {
  inputs: number;
  /** Number of replies by verb and code, such as `ADD 7`. The key for success is `ADD ok`. */
  readonly replies: Map<string, number>;
}

const KNOWN_CODES: readonly number[] = Object.values(CNI_CODES).filter((code) => code !== CNI_CODES.internal);
/** A call refused with one of these codes must not have changed anything. */
const REFUSED_AT_ONCE: readonly number[] = [
  CNI_CODES['incompatible-version'],
  CNI_CODES['unsupported-field'],
  CNI_CODES['invalid-environment'],
  CNI_CODES['decode-failure'],
];
const CHANGING = [
  'create-veth',
  'delete-link',
  'prepare',
  'mark',
  'configure',
  'add-port',
  'remove-port',
  'create-bridge',
];
/**
 * Number of inputs after which the run makes a new world. Otherwise blocks that odd node names have
 * claimed would fill it.
 */
const WORLD_LASTS = 300;
const KEY =
  /^(ranges\/blue|blocks\/blue\/10\.20\.\d+\.\d+\/28|history\/blue\/10\.20\.\d+\.\d+\/28\/\d+|machines\/[A-Za-z0-9.-]+|nodes\/[A-Za-z0-9.-]+\/10\.20\.\d+\.\d+\/28)$/;

/**
 * Checks one reply against CNI SPEC, section 5. Returns the error's code, or undefined on success.
 * Throws an AssertionError when the reply is malformed.
 */
const judge = ({ stdout, exitCode }: Output): number | undefined => {
  if (stdout === '') {
    assert.equal(exitCode, 0, 'an error without reply');
    return undefined;
  }
  const reply = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(typeof reply['cniVersion'], 'string');
  if (exitCode === 0) return undefined;
  const { code, msg, details = '' } = reply as { code: number; msg: unknown; details?: unknown };
  assert.ok(KNOWN_CODES.includes(code), `code ${code}`);
  assert.ok(typeof msg === 'string' && msg !== '' && typeof details === 'string');
  for (const text of [msg, details]) {
    assert.doesNotMatch(
      text,
      /\n\s+at |\.ts:\d+|undefined|\[object/,
      'a stack trace, or a value that was never put in words',
    );
    assert.ok(text.length < 4_000, `${text.length} characters: ${text.slice(0, 200)}`);
  }
  return code;
};

/**
 * Describes the world's state. Equal values before and after a call mean that it changed nothing.
 */
const snapshot = (fake: FakePlatform, dir: string): string =>
  `${fake.world.store.revision} ${readdirSync(dir, { recursive: true }).sort().join()}`;

/** Rejects with the first input, shrunk as far as possible, whose reply or effects are wrong. */
export const runFuzz = async (numRuns: number, seed?: number): Promise<FuzzTotals> => {
  const totals: FuzzTotals = { inputs: 0, replies: new Map() };
  const dir = mkdtempSync(join(tmpdir(), 'cellnet-fuzz-'));
  let fake = await new FakePlatform(dir).withRange();
  // Most inputs change nothing, and what has not changed since the last one needs no second look.
  let before = snapshot(fake, dir);
  const call = (input: FuzzInput): Promise<Output> =>
    dispatch(input.plugin, input, () => Promise.resolve(fake.platform()));
  try {
    await fc.assert(
      fc.asyncProperty(fuzzInput, async (input) => {
        if (totals.inputs % WORLD_LASTS === 0) {
          fake = await new FakePlatform(dir).withRange();
          before = snapshot(fake, dir);
        }
        const { revision } = fake.world.store;
        fake.calls.length = 0;
        const code = judge(await call(input));
        let after = snapshot(fake, dir);
        if (code !== undefined && REFUSED_AT_ONCE.includes(code)) {
          assert.equal(after, before, 'a refused call has changed something');
          assert.deepEqual(
            fake.calls.filter((name) => CHANGING.includes(name)),
            [],
          );
        }
        if (code !== undefined && input.env['CNI_COMMAND'] === 'ADD')
          assert.equal(fake.world.given().size, 0, 'a failed ADD has kept an address');
        const verb = input.env['CNI_COMMAND'] ?? 'none';
        const label = `${/^[A-Z]{2,7}$/.test(verb) ? verb : 'other'} ${code ?? 'ok'}`;
        totals.replies.set(label, (totals.replies.get(label) ?? 0) + 1);
        totals.inputs += 1;
        if (code === undefined && verb === 'ADD') {
          const left = await call({ ...input, env: { ...input.env, CNI_COMMAND: 'DEL' } });
          assert.equal(left.exitCode, 0, `DEL of what ADD made: ${left.stdout}`);
          assert.equal(fake.world.given().size, 0, 'DEL has left an address');
          after = snapshot(fake, dir);
        }
        before = after;
        if (fake.world.store.revision === revision) return;
        assert.ok(
          [...fake.world.store.entries.keys()].every((key) => KEY.test(key)),
          [...fake.world.store.entries.keys()].join(),
        );
        assert.deepEqual(fake.world.problems(), []);
      }),
      { numRuns, ...(seed !== undefined && { seed }) },
    );
    return totals;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};
