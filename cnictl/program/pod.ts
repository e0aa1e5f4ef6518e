import type { Command } from 'commander';
import { podShow } from '../commands/pod.ts';
import { podList, type PodListOptions } from '../commands/pod-list.ts';
import {
  ALL_NAMESPACES,
  examples,
  inNamespace,
  inNamespaces,
  type Act,
  type OfAllNamespaces,
} from './act.ts';
import { asList } from './list.ts';

/** `cnictl pod …` */
export function addPodCommands(program: Command, act: Act): void {
  const pod = program.command('pod').description('the pods that have addresses');
  asList(pod.command('list'))
    .description('pods with all their addresses, node, rule and age')
    .option('-n, --namespace <pattern>', "only of this namespace, '*' in it for any characters")
    .option(...ALL_NAMESPACES)
    .option('--pod <pattern>', 'only of this name, likewise')
    .option('--node <name>', 'only on this node')
    .option('--range <name>', 'only with addresses of this range')
    .option('--rule <name>', 'only those that this rule is for, by their names')
    .addHelpText('after', examples('pod list -n shop', "pod list --pod 'web-*' -o wide", 'pod list --watch'))
    .action((options: PodListOptions & OfAllNamespaces, command: Command) =>
      act(command, (context) => podList(context, inNamespaces(options))),
    );
  pod
    .command('show')
    .description('the addresses that a pod has and had, and what the API server says of it')
    .argument('<pod>', 'as NAMESPACE/NAME')
    .option('-n, --namespace <name>', 'its namespace; then NAME alone is enough')
    .addHelpText('after', examples('pod show default/web-1', 'pod show web-1 -n default'))
    .action((name: string, { namespace }: { namespace?: string }, command: Command) =>
      act(command, (context) => podShow(context, inNamespace(name, namespace))),
    );
}
