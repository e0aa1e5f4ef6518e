import type { Command } from 'commander';

/** What stands below the options of a command's help. */
export interface AfterHelp {
  readonly examples: readonly string[];
  /** Without its title. */
  readonly exitStatus: string | undefined;
  readonly notes: readonly string[];
}

const EXIT = 'Exit status: ';

/** Reads the texts of `addHelpText('after', …)`: paragraphs, of which some have titles. */
export function afterHelp(command: Command): AfterHelp {
  const usual = command.configureOutput();
  const written: string[] = [];
  command.configureOutput({ ...usual, writeOut: (part) => void written.push(part) });
  command.outputHelp();
  command.configureOutput(usual);
  // The first is the help itself.
  const text = written.slice(1).join('\n');
  const paragraphs = text
    .split(/\n\s*\n/)
    .map((paragraph) => paragraph.replace(/^\n+|\s+$/g, ''))
    .filter((paragraph) => paragraph !== '');
  const isExample = (paragraph: string): boolean => /^Examples?:/.test(paragraph);
  return {
    examples: paragraphs
      .filter(isExample)
      .flatMap((paragraph) => paragraph.split('\n').slice(1))
      .map((line) => line.trim()),
    exitStatus: paragraphs.find((paragraph) => paragraph.startsWith(EXIT))?.slice(EXIT.length),
    notes: paragraphs.filter((paragraph) => !isExample(paragraph) && !paragraph.startsWith(EXIT)),
  };
}

/** Returns the commands that a user sees, below this one. */
export const shownCommands = (command: Command): readonly Command[] =>
  command.createHelp().visibleCommands(command);
