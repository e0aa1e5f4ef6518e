/** `npm run soak [-- --seconds 600 --nodes 4]`. The exit status is 0 when everything held. */
import { parseArgs } from 'node:util';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '600' }, nodes: { type: 'string', default: '4' } },
});
const [seconds, nodes] = [Number(values.seconds), Number(values.nodes)];
if (!(seconds > 0) || !Number.isInteger(nodes) || nodes < 1)
  throw new Error(`--seconds ${values.seconds} --nodes ${values.nodes}: expected numbers above 0`);
const started = performance.now();
const tell = (line: string): void =>
  console.log(`${Math.round((performance.now() - started) / 1_000)} s: ${line}`);
const { problems, tally } = await soak({ nodes, seconds, tell });
console.log(`\n${tally.lines().join('\n')}\n`);
for (const problem of problems) console.log(`NOT HELD: ${problem}`);
console.log(problems.length === 0 ? 'everything held' : `${problems.length} things did not hold`);
process.exitCode = problems.length === 0 ? 0 : 1;
