import type { Command } from 'commander';
import { ipHistory, type IpHistoryOptions } from '../commands/ip-history.ts';
import { ADDRESS_STATES, ipList, ipShow, type IpListOptions } from '../commands/ip.ts';
import { ALL_NAMESPACES, collect, examples, inNamespaces, type Act, type OfAllNamespaces } from './act.ts';
import { asList } from './list.ts';

/** `cnictl ip …` */
export function addIpCommands(program: Command, act: Act): void {
  const ip = program.command('ip').description('single addresses');
  asList(ip.command('list'))
    .description(
      'addresses that are used, kept or cooling, with their owners (reserved ones too in JSON and YAML)',
    )
    .option('--node <name>', 'only of this node')
    .option('--range <name>', 'only of this range')
    .option('-n, --namespace <pattern>', "only of pods of this namespace, '*' in it for any characters")
    .option(...ALL_NAMESPACES)
    .option('--pod <pattern>', 'only of pods of this name, likewise')
    .option(
      '--state <states>',
      `only in these, comma-separated: ${ADDRESS_STATES.join(', ')}; may be repeated`,
      collect,
    )
    .addHelpText(
      'after',
      examples(
        "ip list --namespace shop --pod 'web-*'",
        'ip list --state kept,cooling',
        'ip list --watch',
        'ip list -o jsonpath=\'{range .items[?(@.state=="used")]}{.ip}{"\\n"}{end}\'',
      ),
    )
    .action((options: IpListOptions & OfAllNamespaces, command: Command) =>
      act(command, (context) => ipList(context, inNamespaces(options))),
    );
  ip.command('show')
    .description('who has an address')
    .argument('<address>')
    .addHelpText('after', examples('ip show 10.20.0.17'))
    .action((address: string, _options: object, command: Command) =>
      act(command, (context) => ipShow(context, address)),
    );
  ip.command('history')
    .description('who has an address and who had it before, when, and why it was taken back')
    .argument('<address>')
    .option('--since <duration>', 'only what ended in this time, such as 24h or 7d')
    .addHelpText('after', '\nExample:\n  cnictl ip history 10.20.0.17 --since 24h')
    .action((address: string, options: IpHistoryOptions, command: Command) =>
      act(command, (context) => ipHistory(context, address, options)),
    );
}
