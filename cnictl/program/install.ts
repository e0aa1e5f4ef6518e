import { Option, type Command } from 'commander';
import { SUPPORTED_VERSIONS } from '../../cni/protocol/version.ts';
import { nodeInstall, type InstallOptions } from '../commands/install.ts';
import { nodeUninstall, type UninstallOptions } from '../commands/uninstall.ts';
import { DEFAULT_LIB_DIR } from '../install/layout.ts';
import { examples, type Act } from './act.ts';

/** `cnictl node install` and `node uninstall` */
export function addInstallCommands(node: Command, act: Act): void {
  node
    .command('install')
    .description('put programs, agent and network on this node, or upgrade them; done again, it does nothing')
    .option(
      '--from <dist>',
      'what to install (default: the dist/ that this cnictl is of, or that of the package)',
    )
    .option('--lib-dir <folder>', 'where the versions lie', DEFAULT_LIB_DIR)
    .option('--bin-dir <folder>', "where the runtime looks for plugins (default: by the runtime's settings)")
    .option('--conf <file>', 'the network configuration list, written last (default: 10-cell.conflist there)')
    .option('--program-dir <folder>', 'links to cnictl and cellnetd (default: /usr/local/bin)')
    .option('--no-program-dir', 'no such links')
    .option('--conf-from <file>', 'this list, instead of one made of the three options that follow')
    .option('--network <name>', 'name of the network (default: cell)')
    .option('--bridge <name>', 'its bridge (default: that of the shared configuration, else br-cell)')
    .addOption(
      new Option(
        '--cni-version <version>',
        'version of the CNI specification that the runtime knows (default: 1.0.0)',
      ).choices([...SUPPORTED_VERSIONS]),
    )
    .option('--config-from <file>', 'write this file to /etc/cellnet/config.json, in one step')
    .option('--node-name <name>', 'with the name of this node in it')
    .option('--replace-edited', 'write a network or unit that was edited here again; it is saved as .saved')
    .option('--allow-downgrade', 'also a version that is older than the one that this node runs')
    .option('--systemd', 'a unit for the agent (default)')
    .option('--no-systemd', 'none: something else starts it')
    .option('--root <folder>', 'before every path: for an image, or a host that is mounted there', '/')
    .option('--dry-run', 'say what would be done, do nothing')
    .addHelpText(
      'after',
      '\nOptions that are left out are those of the installation before.\n\nExample:\n  cnictl node install --bridge br-cell --dry-run',
    )
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
    .addHelpText('after', examples('node uninstall --dry-run'))
    .action((options: UninstallOptions, command: Command) =>
      act(command, (context) => nodeUninstall(context, options)),
    );
}
