import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Caught } from './catch.ts';
import { MUTATIONS } from './mutations.ts';
import { searchMutations } from './search.ts';

const RECORD = join(import.meta.dirname, 'caught.json');

/**
 * Searches for a seed that shows each mutation, and prints a table in Markdown.
 * @param names absent: all mutations
 * @returns 1 when one of them is not caught
 * @throws Error for a name that no mutation has
 */
export async function tellMutations(
  names: readonly string[],
  { seeds, jobs, record }: { seeds: number; jobs: number; record: boolean },
): Promise<number> {
  const unknown = names.find((name) => !MUTATIONS.some((each) => each.name === name));
  if (unknown !== undefined) {
    const known = MUTATIONS.map(({ name }) => name).join(', ');
    throw new Error(`--mutations: there is no mutation '${unknown}': expected one of ${known}`);
  }
  const wanted = MUTATIONS.filter(({ name }) => names.length === 0 || names.includes(name));
  const found = new Map<string, Caught | undefined>();
  await searchMutations(
    wanted.map(({ name }) => name),
    {
      seeds,
      jobs,
      onFound: ({ mutation, caught, trouble }) => {
        if (trouble !== undefined) throw new Error(`${mutation}: ${trouble}`);
        found.set(mutation, caught);
        process.stderr.write(
          `${mutation}: ${caught ? `seed ${caught.seed}, ${caught.kind}` : 'not caught'}\n`,
        );
      },
    },
  );
  console.log('| mutation | what it breaks | seeds | violation |\n|---|---|---|---|');
  for (const { name, breaks } of wanted) {
    const caught = found.get(name);
    console.log(`| ${name} | ${breaks} | ${caught?.seeds ?? `over ${seeds}`} | ${caught?.kind ?? 'none'} |`);
  }
  if (record) {
    // A search for some of them keeps the seeds of the others.
    const kept: Record<string, number> =
      names.length === 0 ? {} : (JSON.parse(readFileSync(RECORD, 'utf8')) as Record<string, number>);
    for (const { name } of wanted) {
      const caught = found.get(name);
      if (caught) kept[name] = caught.seed;
    }
    writeFileSync(RECORD, `${JSON.stringify(kept, null, 2)}\n`);
  }
  return [...found.values()].includes(undefined) ? 1 : 0;
}
