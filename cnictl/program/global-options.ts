import { Option, type Command } from 'commander';
import { OUTPUTS } from '../context/format.ts';

const OUTPUT = 'Output:';
const ETCD = 'etcd:';
const KUBERNETES = 'Kubernetes:';
const THIS_NODE = 'This node:';

const option = (group: string, flags: string, description: string): Option =>
  new Option(flags, description).helpGroup(group);

/** Adds the options of every command. Only `cnictl --help` and cnictl(1) list them. */
export function addGlobalOptions(program: Command): void {
  const add = (group: string, flags: string, description: string): void =>
    void program.addOption(option(group, flags, description));
  program.addOption(
    option(
      OUTPUT,
      '-o, --output <format>',
      `how to print: ${OUTPUTS.join(', ')} (wide: every column; name: of lists, a line for each; jsonpath: as kubectl)`,
    ).default('table'),
  );
  add(OUTPUT, '--no-headers', 'tables without their titles');
  program.addOption(
    option(OUTPUT, '--color <when>', 'auto: on a terminal, unless NO_COLOR is set')
      .choices(['auto', 'always', 'never'])
      .default('auto'),
  );
  add(ETCD, '--config <file>', 'shared configuration (CELLNET_CONFIG; default /etc/cellnet/config.json)');
  add(
    ETCD,
    '--etcd-endpoints <urls>',
    'comma-separated (CELLNET_ETCD_ENDPOINTS; default http://127.0.0.1:2379)',
  );
  add(ETCD, '--etcd-prefix <prefix>', 'part of the keys before /v1/ (CELLNET_ETCD_PREFIX; default /cellnet)');
  add(ETCD, '--etcd-ca-file <file>', 'CA of etcd (CELLNET_ETCD_CA_FILE)');
  add(ETCD, '--etcd-cert-file <file>', 'client certificate (CELLNET_ETCD_CERT_FILE)');
  add(ETCD, '--etcd-key-file <file>', "client certificate's key (CELLNET_ETCD_KEY_FILE)");
  add(ETCD, '--etcd-username <name>', 'user of etcd (CELLNET_ETCD_USERNAME)');
  add(ETCD, '--etcd-password-file <file>', 'file with its password (CELLNET_ETCD_PASSWORD_FILE)');
  add(
    KUBERNETES,
    '--kubeconfig <file>',
    "the API server's configuration (KUBECONFIG; else that of the shared configuration, in-cluster, ~/.kube/config)",
  );
  add(KUBERNETES, '--context <name>', 'context of that configuration (default: its current one)');
  add(
    KUBERNETES,
    '--request-timeout <duration>',
    'longest wait for an answer of the API server; a list of all pods may take 5m (default: 10s)',
  );
  add(THIS_NODE, '--ovsdb <remote>', 'database of Open vSwitch (CELLNET_OVSDB)');
}
