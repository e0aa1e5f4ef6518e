import { Argument, type Command } from 'commander';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Named } from '../completion/kinds.ts';
import type { Candidate } from '../completion/names.ts';
import { Context } from '../context/context.ts';
import type { World } from '../context/world.ts';
import { examples, type Act } from './act.ts';

/** Longest time for names from etcd, in milliseconds: a person waits for the list. */
const NAMES_DEADLINE_MS = 500;

/** `cnictl completion`, and `cnictl __manual`, by which the build makes what packages install */
export function addCompletionCommand(program: Command, act: Act): void {
  program
    .command('completion')
    .description('print the completion of a shell: commands, options, and names from etcd')
    .addArgument(new Argument('<shell>', 'of which').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `\nThe packages install it. By hand: for bash, add the first line to ~/.bashrc.\n${examples(
        'completion bash',
        'completion zsh > "${fpath[1]}/_cnictl"',
        'completion fish > ~/.config/fish/completions/cnictl.fish',
      ).replace('  cnictl completion bash', '  source <(cnictl completion bash)')}`,
    )
    .action((shell: 'bash' | 'zsh' | 'fish', _options: object, command: Command) =>
      act(command, async ({ world }) => {
        const { completionScript } = await import('../completion/scripts.ts');
        world.stdout(completionScript(shell));
        return 0;
      }),
    );
  program
    .command('__manual', { hidden: true })
    .description('print what packages install below /usr/share, as JSON: texts by their paths')
    .addHelpText('after', examples('__manual'))
    .action((_options: object, command: Command) =>
      act(command, async ({ world }) => {
        const { shareFiles } = await import('../manual/share.ts');
        world.stdout(JSON.stringify(Object.fromEntries(shareFiles(program))));
        return 0;
      }),
    );
}

/**
 * `cnictl __complete WORDS…`: prints what may stand at the cursor. Says nothing when something
 * fails: the operator is in the middle of a line.
 * @param words none: those of the line in CELLNET_COMPLETE_LINE
 */
export async function completeWords(
  words: readonly string[],
  world: World,
  makeProgram: (act: Act, world: World) => Command,
): Promise<number> {
  try {
    const { complete, completionText } = await import('../completion/complete.ts');
    const { splitLine } = await import('../completion/words.ts');
    const line = world.env['CELLNET_COMPLETE_LINE'];
    const behind = words.length > 0 ? words : splitLine(line ?? '').slice(1);
    const program = makeProgram(() => Promise.resolve(), world);
    const found = await complete(program, behind, (named, values) => ask(world, named, values));
    world.stdout(completionText(found));
    return 0;
  } catch {
    return 1;
  }
}

async function ask(
  world: World,
  named: Named,
  values: Readonly<Record<string, string>>,
): Promise<readonly Candidate[]> {
  const { namesOf } = await import('../completion/names.ts');
  const late = new AbortController();
  try {
    const { settings } = new Context(world, { output: 'table', ...values });
    const ipam = await world.openIpam(etcdSettings(settings.etcd));
    try {
      const deadline = world.pause(NAMES_DEADLINE_MS, late.signal).then((): readonly Candidate[] => []);
      return await Promise.race([namesOf(ipam, named), deadline]);
    } finally {
      ipam.close();
    }
  } catch {
    return [];
  } finally {
    late.abort();
  }
}
