import type { Command } from 'commander';
import type { EventsOptions } from '../commands/events.ts';
import type { ServeOptions } from '../commands/serve.ts';
import { ALL_NAMESPACES, inNamespaces, type Act, type OfAllNamespaces } from './act.ts';

/** `cnictl events` and `cnictl serve` */
export function addEventCommands(program: Command, act: Act): void {
  program
    .command('events')
    .description('what happens to addresses, blocks, ranges, rules and nodes (JSON: a line for each)')
    .option('-f, --follow', 'go on until it is stopped')
    .option('--since <duration>', 'begin this long ago, such as 1h or 7d (default: 1h, without --follow)')
    .option('--from-revision <number>', 'begin with this revision of etcd')
    .option('--after <position>', 'begin behind this event: its key position')
    .option('--initial', 'begin with what there is now, as events; the event synced ends it')
    .option('--bookmarks', 'JSON, YAML: also tell how far it is, first and when nothing happens')
    .option('-n, --namespace <name>', 'only of pods and rules of this namespace')
    .option(...ALL_NAMESPACES)
    .option('--range <name>', 'only of this range')
    .option('--node <name>', 'only of this node')
    .addHelpText(
      'after',
      '\nExamples:\n  cnictl events --since 24h --namespace shop\n  cnictl events --follow --initial -o json',
    )
    .action((options: EventsOptions & OfAllNamespaces, command: Command) =>
      act(command, async (context) => {
        const { events } = await import('../commands/events.ts');
        return await events(context, inNamespaces(options));
      }),
    );
  program
    .command('serve')
    .description('serve the map of all addresses as a web page, and the events over HTTP')
    .option('--listen <address>', 'IP address and port', '127.0.0.1:9463')
    .option('--tls-cert <file>', 'certificate, with its chain, in PEM')
    .option('--tls-key <file>', 'its key, in PEM')
    .option(
      '--token-file <file>',
      'only for who has this token: Authorization: Bearer TOKEN, or the page asks for it',
    )
    .option('--insecure', 'also beyond the loopback without TLS and token: everybody there can read along')
    .addHelpText(
      'after',
      '\nExamples:\n  cnictl serve                                  then open http://127.0.0.1:9463/\n  cnictl serve --listen 10.0.0.5:9463 --tls-cert tls.crt --tls-key tls.key --token-file token\n  curl -N http://127.0.0.1:9463/events?namespace=shop\n  curl -N "http://127.0.0.1:9463/events?format=json&from=912"',
    )
    .action((options: ServeOptions, command: Command) =>
      act(command, async (context) => {
        const { serve } = await import('../commands/serve.ts');
        return await serve(context, options);
      }),
    );
}
