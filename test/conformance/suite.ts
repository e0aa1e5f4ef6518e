/** Runs the cases against a plugin at every version that the plugin reports as supported. */
import assert from 'node:assert/strict';
import { casesFor, type Case } from './cases.ts';
import { Trial, VERSIONS, type Subject, type Version } from './trial.ts';

export interface Outcome {
  readonly version: Version;
  readonly of: Case;
  /** The reason for the failure. Undefined when the case holds. */
  readonly failure: string | undefined;
}

/** Returns the versions that both the plugin (by VERSION) and this suite support. */
export const versionsOf = async (subject: Subject): Promise<Version[]> => {
  const outcome = await new Trial(subject, '1.0.0').call('VERSION', undefined, {
    config: { cniVersion: '1.0.0' },
  });
  const supported = outcome.result?.supportedVersions ?? [];
  const versions = VERSIONS.filter((version) => supported.includes(version));
  assert.ok(
    versions.length > 0,
    `${subject.binary} supports none of ${VERSIONS.join(', ')}: ${outcome.stdout}`,
  );
  return versions;
};

export const runCase = async (subject: Subject, version: Version, of: Case): Promise<Outcome> => {
  const trial = new Trial(subject, version);
  try {
    await of.run(trial);
    return { version, of, failure: undefined };
  } catch (error) {
    return { version, of, failure: error instanceof Error ? error.message : String(error) };
  } finally {
    await trial.close();
  }
};

export interface ConformanceOptions {
  /** The versions to run, those of them that the plugin supports. */
  readonly versions?: readonly Version[];
  /** Receives each outcome as its case ends. */
  readonly tell?: (outcome: Outcome) => void;
}

/**
 * Runs every case at every version, two at a time: each trial has its own network. Returns the
 * outcomes in the order of the cases.
 */
export const runConformance = async (
  subject: Subject,
  { versions = VERSIONS, tell = () => undefined }: ConformanceOptions = {},
): Promise<Outcome[]> => {
  const supported = await versionsOf(subject);
  const work = supported
    .filter((version) => versions.includes(version))
    .flatMap((version) => casesFor(subject.kind, version).map((of) => ({ version, of })));
  const outcomes: Outcome[] = [];
  const waiting = work.entries();
  const lane = async (): Promise<void> => {
    for (const [i, { version, of }] of waiting) {
      const outcome = await runCase(subject, version, of);
      outcomes[i] = outcome;
      tell(outcome);
    }
  };
  await Promise.all([lane(), lane()]);
  return outcomes;
};
