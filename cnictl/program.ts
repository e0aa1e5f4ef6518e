import { Command, CommanderError, Option } from 'commander';
import { blockList } from './commands/block.ts';
import { check, type CheckOptions } from './commands/check.ts';
import {
  nodeInstall,
  nodeUninstall,
  type InstallOptions,
  type UninstallOptions,
} from './commands/install.ts';
import { ipList, ipShow } from './commands/ip.ts';
import { nodeInit, nodeList, type NodeInitOptions } from './commands/node.ts';
import {
  rangeAdd,
  rangeList,
  rangeRemove,
  rangeSetState,
  rangeShow,
  type RangeAddOptions,
} from './commands/range.ts';
import { release, type ReleaseOptions } from './commands/release.ts';
import { status } from './commands/status.ts';
import { SUPPORTED_VERSIONS } from '../cni/version.ts';
import { VERSION } from '../ipam/build.ts';
import { Context, type GlobalOptions } from './context.ts';
import { CommandError, describeError } from './errors.ts';
import { DEFAULT_BIN_DIR, DEFAULT_CONF, DEFAULT_LIB_DIR } from './install/layout.ts';
import { printableLines } from './render/printable.ts';
import type { World } from './world.ts';

/** Exit status, as that of diff. */
export const TROUBLE = 2;

/** One run of cnictl: never throws. @returns the exit status: 0 done or nothing found, 1 found (`check`), 2 trouble */
export async function run(argv: readonly string[], world: World): Promise<number> {
  let exitStatus = 0;
  const act = async (command: Command, work: (context: Context) => Promise<number>): Promise<void> => {
    exitStatus = await work(new Context(world, command.optsWithGlobals<GlobalOptions>()));
  };
  const program = makeProgram(act, world);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitStatus;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : TROUBLE;
    world.stderr(describeError(error));
    if (world.env['CELLNET_DEBUG'] && error instanceof Error)
      world.stderr(`${printableLines(error.stack ?? '')}\n`);
    return TROUBLE;
  }
}

type Act = (command: Command, work: (context: Context) => Promise<number>) => Promise<void>;

const collect = (value: string, before: readonly string[] | undefined): string[] => [
  ...(before ?? []),
  value,
];

function makeProgram(act: Act, world: World): Command {
  const program = new Command('cnictl')
    .description('Address ranges of cellnet: who has what, what is leaked, and freeing it.')
    .version(VERSION, '-V, --version', 'print the version')
    .addOption(
      new Option('-o, --output <format>', 'how to print').choices(['table', 'json', 'yaml']).default('table'),
    )
    .option('--config <file>', 'shared configuration (CELLNET_CONFIG; default /etc/cellnet/config.json)')
    .option(
      '--etcd-endpoints <urls>',
      'comma-separated (CELLNET_ETCD_ENDPOINTS; default http://127.0.0.1:2379)',
    )
    .option('--etcd-prefix <prefix>', 'part of the keys before /v1/ (CELLNET_ETCD_PREFIX; default /cellnet)')
    .option('--etcd-ca-file <file>', 'CA of etcd (CELLNET_ETCD_CA_FILE)')
    .option('--etcd-cert-file <file>', 'client certificate (CELLNET_ETCD_CERT_FILE)')
    .option('--etcd-key-file <file>', "client certificate's key (CELLNET_ETCD_KEY_FILE)")
    .option('--etcd-username <name>', 'user of etcd (CELLNET_ETCD_USERNAME)')
    .option('--etcd-password-file <file>', 'file with its password (CELLNET_ETCD_PASSWORD_FILE)')
    .option(
      '--kubeconfig <file>',
      "the API server's configuration (KUBECONFIG; else in-cluster, ~/.kube/config)",
    )
    .option('--ovsdb <remote>', 'database of Open vSwitch (CELLNET_OVSDB)')
    .configureHelp({ showGlobalOptions: true })
    .helpCommand(false)
    .addHelpText('after', '\nExit status: 0 done or nothing found, 1 found (check), 2 trouble.');
  addRangeCommands(program, act);
  addListCommands(program, act);
  addLeakCommands(program, act);
  addNodeCommands(program, act);
  program
    .command('status')
    .description('whether etcd and the API server answer, and how full the ranges are')
    .action((_options: object, command: Command) => act(command, status));
  program
    .command('help')
    .description('help for a command')
    .argument('[command...]', 'such as range add')
    .action((words: string[]) => findCommand(program, words).help());
  makeSilent(program, world);
  return program;
}

/** The command of that name, word by word. @throws CommandError */
function findCommand(program: Command, words: readonly string[]): Command {
  return words.reduce((command, word) => {
    const found = command.commands.find((each) => each.name() === word);
    if (found) return found;
    const known = command.commands.map((each) => each.name()).join(', ') || 'none';
    throw new CommandError(`'${command.name()}' has no command '${word}': expected ${known}`);
  }, program);
}

/** Commander prints through us and throws where it would end the process; for every subcommand too. */
function makeSilent(command: Command, world: World): void {
  command
    .exitOverride()
    .configureOutput({
      writeOut: world.stdout,
      writeErr: (text) => world.stderr(printableLines(text).replace(/^error: /, 'cnictl: ')),
    })
    .showSuggestionAfterError();
  command.commands.forEach((each) => makeSilent(each, world));
}

function addRangeCommands(program: Command, act: Act): void {
  const range = program.command('range').description('subnets that pods get addresses from');
  range
    .command('add')
    .description('add a range')
    .argument('<subnet>', 'in CIDR notation, such as 10.20.0.0/22')
    .option(
      '--gateway <address>',
      "the pods' default gateway, inside the subnet; without it they get no default route",
    )
    .option('--name <name>', 'name of the range (default: from the subnet)')
    .option('--vlan <id>', 'VLAN ID 1 to 4094 (default: untagged)')
    .option(
      '--exclude <addresses>',
      'ADDRESS, FIRST-LAST or a subnet that pods never get; may be repeated',
      collect,
    )
    .option('--route <route>', "'SUBNET via ADDRESS' that pods get too; may be repeated", collect)
    .option('--cooldown <duration>', 'how long a released address rests, 24h at most (default: 30s)')
    .option('--block-size <n>', 'addresses that a node claims at once: 4, 8, 16, 32 or 64 (default: 16)')
    .option('--dry-run', 'check everything, add nothing')
    .addHelpText(
      'after',
      '\nExample:\n  cnictl range add 10.20.0.0/22 --gateway 10.20.0.1 --vlan 120 --exclude 10.20.0.2-10.20.0.9',
    )
    .action((subnet: string, options: RangeAddOptions, command: Command) =>
      act(command, (context) => rangeAdd(context, subnet, options)),
    );
  range
    .command('list')
    .description('all ranges and how full they are')
    .action((_options: object, command: Command) => act(command, rangeList));
  range
    .command('show')
    .description('one range in full')
    .argument('<name>')
    .action((name: string, _options: object, command: Command) =>
      act(command, (context) => rangeShow(context, name)),
    );
  range
    .command('remove')
    .description('remove a range of which no address is given out')
    .argument('<name>')
    .option('--dry-run', 'say what would be removed, remove nothing')
    .option('--yes', 'do not ask')
    .action((name: string, options: { dryRun?: boolean; yes?: boolean }, command: Command) =>
      act(command, (context) => rangeRemove(context, name, options)),
    );
  range
    .command('drain')
    .description('give out nothing new of a range; what is given out stays')
    .argument('<name>')
    .action((name: string, _options: object, command: Command) =>
      act(command, (context) => rangeSetState(context, name, 'draining')),
    );
  range
    .command('undrain')
    .description('give out addresses of a range again')
    .argument('<name>')
    .action((name: string, _options: object, command: Command) =>
      act(command, (context) => rangeSetState(context, name, 'active')),
    );
}

function addListCommands(program: Command, act: Act): void {
  const block = program.command('block').description('the consecutive addresses that a node claimed');
  block
    .command('list')
    .description('claimed blocks')
    .option('--node <name>', 'only of this node')
    .option('--range <name>', 'only of this range')
    .action((options: { node?: string; range?: string }, command: Command) =>
      act(command, (context) => blockList(context, options)),
    );
  const ip = program.command('ip').description('single addresses');
  ip.command('list')
    .description('addresses that are used or cooling, with their owners (reserved ones too in JSON and YAML)')
    .option('--node <name>', 'only of this node')
    .option('--range <name>', 'only of this range')
    .action((options: { node?: string; range?: string }, command: Command) =>
      act(command, (context) => ipList(context, options)),
    );
  ip.command('show')
    .description('who has an address')
    .argument('<address>')
    .action((address: string, _options: object, command: Command) =>
      act(command, (context) => ipShow(context, address)),
    );
}

function addLeakCommands(program: Command, act: Act): void {
  program
    .command('check')
    .description("compare etcd with the API server's pods: find leaked and missing addresses")
    .option('--grace <duration>', 'what is suspected is looked at again after this time, 24h at most', '60s')
    .option('--release', 'release what is leaked, after one more look at each')
    .option('--repair', 'make index keys of nodes agree with their blocks')
    .option('--save <file>', 'write the report as JSON, for release --from-report')
    .option('--log <file>', 'add a line of JSON for each release')
    .option('--yes', 'do not ask before a release or repair')
    .option('--even-if-no-pods', 'release also where the API server has no pod at all')
    .option('--watch [interval]', 'check again and again until SIGTERM, at this interval (default: 5m)')
    .option('--metrics-listen <address>', 'with --watch: serve metrics there, such as 127.0.0.1:9462')
    .addHelpText(
      'after',
      '\nExit status: 0 nothing found (or all of it put right, or --watch was stopped), 1 found, 2 could not be checked.',
    )
    .action((options: CheckOptions, command: Command) => act(command, (context) => check(context, options)));
  program
    .command('release')
    .description('free addresses; one whose pod lives stays')
    .argument('[addresses...]')
    .option(
      '--from-report <file>',
      'those that a saved report names, if they are still the same allocations; given again: those that all reports name',
      collect,
    )
    .option('--dry-run', 'say what would be released, release nothing')
    .option('--log <file>', 'add a line of JSON for each release')
    .option('--yes', 'do not ask')
    .option('--even-if-no-pods', 'release also where the API server has no pod at all')
    .option('--force', 'release also an address whose pod lives, or of which nothing tells whether it does')
    .addHelpText('after', '\nExample:\n  cnictl release 10.20.0.17 10.20.0.18')
    .action((addresses: string[], options: ReleaseOptions, command: Command) =>
      act(command, (context) => release(context, addresses, options)),
    );
}

function addNodeCommands(program: Command, act: Act): void {
  const node = program.command('node').description('the nodes and their blocks');
  node
    .command('list')
    .description('nodes that hold blocks, and how full these are')
    .action((_options: object, command: Command) => act(command, nodeList));
  node
    .command('init')
    .description('make the bridge on this node and attach its uplink, as far as they are not there')
    .option('--bridge <name>', 'name of the bridge (CELLNET_BRIDGE; default br-cell)')
    .option('--uplink <device>', 'device that leads to the switch, usually a bond')
    .addOption(
      new Option('--fail-mode <mode>', 'standalone: the bridge learns by itself')
        .choices(['standalone', 'secure'])
        .default('standalone'),
    )
    .addOption(
      new Option('--datapath <type>', 'netdev: the userspace datapath (default: system)').choices([
        'system',
        'netdev',
      ]),
    )
    .option('--dry-run', 'say what would be done, do nothing')
    .addHelpText('after', '\nExample:\n  cnictl node init --bridge br-cell --uplink bond1')
    .action((options: NodeInitOptions, command: Command) =>
      act(command, (context) => nodeInit(context, options)),
    );
  addInstallCommands(node, act);
}

function addInstallCommands(node: Command, act: Act): void {
  node
    .command('install')
    .description('put programs, agent and network on this node, or upgrade them; done again, it does nothing')
    .option('--from <dist>', 'what to install (default: the dist/ that this cnictl is of)')
    .option('--bin-dir <folder>', 'where the runtime looks for plugins', DEFAULT_BIN_DIR)
    .option('--lib-dir <folder>', 'where the versions lie', DEFAULT_LIB_DIR)
    .option('--conf <file>', 'the network configuration list, written last', DEFAULT_CONF)
    .option('--conf-from <file>', 'this list, instead of one made of the three options that follow')
    .option('--network <name>', 'name of the network', 'cell')
    .option('--bridge <name>', 'its bridge (default: that of the shared configuration, else br-cell)')
    .addOption(
      new Option('--cni-version <version>', 'version of the CNI specification that the runtime knows')
        .choices([...SUPPORTED_VERSIONS])
        .default('1.0.0'),
    )
    .option('--no-systemd', 'no unit for the agent: something else starts it')
    .option('--root <folder>', 'before every path: for an image, or a host that is mounted there', '/')
    .option('--dry-run', 'say what would be done, do nothing')
    .addHelpText('after', '\nExample:\n  cnictl node install --bridge br-cell --dry-run')
    .action((options: InstallOptions, command: Command) =>
      act(command, (context) => nodeInstall(context, options)),
    );
  node
    .command('uninstall')
    .description('take away what install made; /etc/cellnet and /var/lib/cellnet stay')
    .option('--lib-dir <folder>', 'where the versions lie', DEFAULT_LIB_DIR)
    .option('--root <folder>', 'before every path', '/')
    .option('--dry-run', 'say what would be done, do nothing')
    .option('--yes', 'do not ask')
    .option('--force', 'also while pods on this node have addresses')
    .action((options: UninstallOptions, command: Command) =>
      act(command, (context) => nodeUninstall(context, options)),
    );
}
