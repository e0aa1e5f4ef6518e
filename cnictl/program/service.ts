import type { Command } from 'commander';
import { serviceList, serviceShow } from '../commands/service.ts';
import { trace, type TraceOptions } from '../commands/trace.ts';
import { examples, inNamespace, type Act } from './act.ts';

/** `cnictl service …` and `cnictl trace` */
export function addServiceCommands(program: Command, act: Act): void {
  const service = program
    .command('service')
    .description('Kubernetes Services: what the bridge of this node does with each');
  service
    .command('list')
    .description('virtual addresses with their ports, how many endpoints they have, and what is not served')
    .addHelpText('after', examples('service list'))
    .action((_options: object, command: Command) => act(command, serviceList));
  service
    .command('show')
    .description('all endpoints of a Service, which of them get connections, and how many they have')
    .argument('<service>', 'as NAMESPACE/NAME')
    .option('-n, --namespace <name>', 'its namespace; then NAME alone is enough')
    .addHelpText('after', '\nExample:\n  cnictl service show kube-system/kube-dns')
    .action((name: string, { namespace }: { namespace?: string }, command: Command) =>
      act(command, (context) => serviceShow(context, inNamespace(name, namespace))),
    );
  program
    .command('trace')
    .description('what the bridge of this node does with a packet of one of its pods; no packet is sent')
    .argument('<pod>', 'as NAMESPACE/NAME')
    .argument('<destination>', 'ADDRESS (an ICMP echo) or ADDRESS:PORT, with /udp or /sctp if it is not TCP')
    .option('-n, --namespace <name>', "the pod's namespace; then NAME alone is enough")
    .option('--raw', "print Open vSwitch's own text")
    .addHelpText(
      'after',
      '\nExamples:\n  cnictl trace default/web-1 10.96.0.10:53/udp\n  cnictl trace default/web-1 [fd00:96::a]:443',
    )
    .action(
      (
        pod: string,
        destination: string,
        { namespace, ...options }: TraceOptions & { namespace?: string },
        command: Command,
      ) => act(command, (context) => trace(context, inNamespace(pod, namespace), destination, options)),
    );
}
