/**
 * The conformance suite as a program, `npm run conformance -- ARGUMENTS`:
 *
 *     (no arguments)               cellnet's plugins, on a private etcd and Open vSwitch
 *     --reference                  Debian's containernetworking-plugins
 *     PLUGIN CONF [--netns NAME]   any plugin binary with its configuration file
 *
 * CONF is one plugin's configuration, or a list that contains it. The plugin runs in the network
 * namespace NAME; without --netns the suite makes one for the run. Exit status: 0 when every case
 * held, 1 when a case failed or none ran, 2 when the suite could not run.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { STOCK_PLUGINS } from '../support/cni.ts';
import { newScope, scopedNamespace, sweepStaleNamespaces, type Scope } from '../support/netns.ts';
import { ownSubjects, referenceSubjects } from './subjects.ts';
import { runConformance, type Outcome } from './suite.ts';
import type { PluginKind, Subject } from './trial.ts';

const USAGE = 'usage: npm run conformance -- [--reference | PLUGIN CONF [--netns NAME]]';

interface PluginSection {
  readonly type?: unknown;
  readonly ipam?: { readonly type?: unknown };
}

/**
 * Reads one plugin's section from a file: the section whose type, or IPAM type, is the binary's
 * name.
 */
const readSubject = async (scope: Scope, binary: string, file: string, netns?: string): Promise<Subject> => {
  const content = JSON.parse(readFileSync(file, 'utf8')) as PluginSection & { plugins?: PluginSection[] };
  const name = basename(binary);
  const sections = content.plugins ?? [content];
  const position = sections.findIndex(({ type, ipam }) => type === name || ipam?.type === name);
  const section = sections[position];
  if (!section) throw new Error(`${file} has no plugin section whose type or ipam.type is '${name}'`);
  const kind: PluginKind = section.type !== name ? 'ipam' : position > 0 ? 'chained' : 'main';
  const host = netns ?? (await scopedNamespace(scope, 'host')).name;
  const path = `${dirname(resolve(binary))}:${process.env['CNI_PATH'] ?? STOCK_PLUGINS}`;
  return {
    name,
    binary: resolve(binary),
    kind,
    config: { name: 'conformance', ...section },
    path,
    host,
    env: {},
  };
};

const subjectsOf = (scope: Scope, args: readonly string[]): Promise<Subject[]> => {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { reference: { type: 'boolean' }, netns: { type: 'string' } },
    allowPositionals: true,
  });
  const [binary, file] = positionals;
  if (values.reference && positionals.length === 0) return referenceSubjects(scope);
  if (positionals.length === 0) return ownSubjects(scope);
  if (binary === undefined || file === undefined || positionals.length > 2) throw new Error(USAGE);
  return readSubject(scope, binary, file, values.netns).then((subject) => [subject]);
};

const report = ({ version, of, failure }: Outcome): string => {
  const line = `${failure === undefined ? 'ok  ' : 'FAIL'} ${version} ${of.section}: ${of.sentence}`;
  return failure === undefined ? line : `${line}\n       ${failure.replaceAll('\n', '\n       ')}`;
};

const main = async (args: readonly string[]): Promise<number> => {
  await sweepStaleNamespaces();
  const scope = newScope();
  const totals = { held: 0, failed: 0 };
  try {
    for (const subject of await subjectsOf(scope, args)) {
      console.log(`\n${subject.name} (${subject.kind} plugin)`);
      const outcomes = await runConformance(subject, { tell: (outcome) => console.log(report(outcome)) });
      const failed = outcomes.filter(({ failure }) => failure !== undefined).length;
      const versions = [...new Set(outcomes.map(({ version }) => version))].join(', ');
      console.log(
        `${subject.name}: ${outcomes.length - failed} of ${outcomes.length} cases hold, versions ${versions}`,
      );
      totals.held += outcomes.length - failed;
      totals.failed += failed;
    }
  } finally {
    await scope.close();
  }
  console.log(`\n${totals.held} passed, ${totals.failed} failed`);
  return totals.failed > 0 || totals.held === 0 ? 1 : 0;
};

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
