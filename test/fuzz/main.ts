/**
 * Fuzzes all input that a runtime passes to the plugins.
 *
 *     npm run fuzz                    100,000 inputs
 *     npm run fuzz -- COUNT [SEED]
 */
import { recordBranches } from './coverage.ts';
import { runFuzz } from './run.ts';

/** The modules that parse the environment, the configuration and the shared file. */
export const PARSERS = [
  'cni/protocol/request.ts',
  'cni/protocol/config.ts',
  'cni/protocol/requested.ts',
  'cni/protocol/version.ts',
  'cni/verbs/dispatch.ts',
  'ipam/settings/settings.ts',
  'ipam/store/etcd/settings.ts',
  'ipam/records/decode.ts',
];

// Nothing reads the stacks of a hundred thousand refusals, and taking them is a tenth of the work.
Error.stackTraceLimit = 0;

const [count = '100000', seed] = process.argv.slice(2);
const recording = await recordBranches();
const started = performance.now();
const { inputs, replies } = await runFuzz(Number(count), seed === undefined ? undefined : Number(seed));
const seconds = ((performance.now() - started) / 1000).toFixed(1);
console.log(`${inputs} inputs in ${seconds} s: every reply valid, no refused call changed anything`);
for (const [label, times] of [...replies].sort(([a], [b]) => (a < b ? -1 : 1)))
  console.log(`  ${label.padEnd(14)} ${times}`);

console.log('branches of the parsers that were reached:');
for (const { file, reached, total, missed } of await recording.take(PARSERS)) {
  console.log(`  ${file.padEnd(24)} ${reached}/${total}`);
  for (const line of missed) console.log(`    never: ${line.slice(0, 100)}`);
}
