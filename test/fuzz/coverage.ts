/** Reports which branches of given source files ran, from V8's block coverage. */
import { Session, type Profiler } from 'node:inspector/promises';

export interface BranchCoverage {
  readonly file: string;
  readonly reached: number;
  readonly total: number;
  /** The first line of each branch that never ran, in the compiled source. */
  readonly missed: readonly string[];
}

export interface Recording {
  /** Stops counting and returns the coverage of the files whose URL ends in these paths. */
  take(files: readonly string[]): Promise<BranchCoverage[]>;
}

/** Starts counting. Files that were loaded earlier count from here on. */
export const recordBranches = async (): Promise<Recording> => {
  const session = new Session();
  session.connect();
  await session.post('Debugger.enable');
  await session.post('Profiler.enable');
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  return {
    take: async (files) => {
      const { result } = await session.post('Profiler.takePreciseCoverage');
      const found = await Promise.all(
        files.map(async (file) => {
          const script = result.find(({ url }) => url.split('?')[0]?.endsWith(`/${file}`));
          if (!script) throw new Error(`${file} was never loaded`);
          const { scriptSource } = await session.post('Debugger.getScriptSource', {
            scriptId: script.scriptId,
          });
          return summarize(file, script, scriptSource);
        }),
      );
      session.disconnect();
      return found;
    },
  };
};

const summarize = (file: string, script: Profiler.ScriptCoverage, source: string): BranchCoverage => {
  const ranges = script.functions.flatMap(({ ranges }) => ranges);
  const missed = ranges
    .filter(({ count }) => count === 0)
    .map(({ startOffset, endOffset }) => source.slice(startOffset, endOffset).trim().split('\n')[0] ?? '')
    .filter((line) => line !== '');
  return { file, reached: ranges.length - missed.length, total: ranges.length, missed };
};
