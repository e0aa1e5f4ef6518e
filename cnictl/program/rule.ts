import type { Command } from 'commander';
import { ruleAdd, type RuleAddOptions } from '../commands/rule-add.ts';
import { ruleList, ruleRemove, ruleShow, type RuleRemoveOptions } from '../commands/rule.ts';
import type { ListOptions } from '../commands/list.ts';
import { collect, examples, type Act } from './act.ts';
import { asList } from './list.ts';

/** `cnictl rule …` */
export function addRuleCommands(program: Command, act: Act): void {
  const rule = program.command('rule').description('which pods draw their addresses from which ranges');
  rule
    .command('add')
    .description('add a rule; pods that live keep their addresses')
    .argument('<name>')
    .requiredOption('-n, --namespace <pattern>', "namespace of the pods, '*' in it for any characters")
    .option('--pod <pattern>', "name of the pods, '*' in it for any characters (default: every pod)")
    .option('--label <key=value>', 'label that the pods have; may be repeated', collect)
    .option('--owner-kind <kind>', "kind of the pods' controller, such as StatefulSet")
    .option('--namespace-label <key=value>', 'label that the namespace has; may be repeated', collect)
    .option(
      '--nodes <key=value>',
      "label that the pods' node has, such as a rack or zone; may be repeated",
      collect,
    )
    .option('--range <name>', 'range that the pods draw from; may be repeated', collect)
    .option('--fallback', 'when these ranges are full, the others serve; without it pods wait')
    .option(
      '--keep <duration>',
      "a pod that is made again under its name gets its address again, for so long after it went, such as 24h; 'forever'",
    )
    .option('--any-pod', 'with --keep: whichever pod of the rule comes next gets it, as of a Deployment')
    .option(
      '--own-blocks',
      'the pods get addresses of blocks that no other pods use, on any node: `rule show` lists them for firewalls',
    )
    .option(
      '--allow-annotations <kinds>',
      'annotations of the pods that count: some of ranges,ip,keep (cellnet.io/ranges, …), within --range; all others are ignored',
    )
    .option(
      '--keep-at-most <duration>',
      'with --allow-annotations keep: longest time that an annotation may ask for (default: any)',
    )
    .option('--dry-run', 'check everything, tell which living pods it concerns, add nothing')
    .addHelpText(
      'after',
      "\nThe most specific rule for a pod counts: namespace before pod name before other conditions.\n\nExamples:\n  cnictl rule add shop --namespace shop --range red\n  cnictl rule add zone-a --namespace '*' --nodes topology.kubernetes.io/zone=a --range blue --fallback\n  cnictl rule add db --namespace shop --pod 'db-*' --keep forever\n  cnictl rule add own --namespace shop --range red --allow-annotations ranges,ip,keep --keep-at-most 24h\n  cnictl rule add pay --namespace shop --pod 'pay-*' --range red --own-blocks",
    )
    .action((name: string, options: RuleAddOptions, command: Command) =>
      act(command, (context) => ruleAdd(context, name, options)),
    );
  asList(rule.command('list'))
    .description('all rules, the most specific first')
    .addHelpText('after', examples('rule list'))
    .action((options: ListOptions, command: Command) =>
      act(command, (context) => ruleList(context, options)),
    );
  rule
    .command('show')
    .description('one rule, and the pods with addresses that it is for')
    .argument('<name>')
    .addHelpText('after', examples('rule show shop'))
    .action((name: string, _options: object, command: Command) =>
      act(command, (context) => ruleShow(context, name)),
    );
  rule
    .command('remove')
    .description('remove a rule; pods that live keep their addresses')
    .argument('<name>')
    .option('--dry-run', 'say what would be removed, remove nothing')
    .option('--ignore-not-found', 'succeed for a name that etcd does not have')
    .addHelpText('after', examples('rule remove shop --dry-run'))
    .action((name: string, options: RuleRemoveOptions, command: Command) =>
      act(command, (context) => ruleRemove(context, name, options)),
    );
}
