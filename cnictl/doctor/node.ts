import { join } from 'node:path';
import { messageOf } from '../../ipam/model/errors.ts';
import type { Files } from '../context/file-access.ts';
import type { AgentAnswer, World } from '../context/world.ts';
import { checkConflist, namesCellnet } from '../install/network.ts';
import { lookAtNode, NODE_REMEDY, supportEnd } from '../install/node-program.ts';
import { isEdited } from '../install/remembered.ts';
import { plural } from '../render/plural.ts';
import { fail, ok, warn, type Check, type Finding } from './finding.ts';

/** How an operator looks at the agent, and starts it again. */
export interface AgentCommands {
  readonly look: string;
  readonly restart: string;
}

export const BY_SYSTEMD: AgentCommands = {
  look: 'systemctl status cellnetd; journalctl -u cellnetd',
  restart: 'systemctl restart cellnetd, or install the newer one: cnictl node install',
};
const IN_POD = 'kubectl -n kube-system';
/** As docs/examples/cellnet-daemonset.yaml names it. */
export const BY_KUBERNETES: AgentCommands = {
  look: `${IN_POD} get pods -l app.kubernetes.io/name=cellnet -o wide; ${IN_POD} logs POD`,
  restart: `${IN_POD} rollout restart daemonset/cellnet, with the image of the newer one`,
};

export function judgeAgent(
  socket: string | false,
  answer: AgentAnswer,
  version: string,
  commands = BY_SYSTEMD,
): Finding {
  const check = 'agent';
  if (socket === false) return ok(check, 'not used, as configured: the plugin serves calls itself');
  if (!answer.answers) {
    return warn(check, `none answers at ${socket}: the plugin serves calls itself`, commands.look);
  }
  const { health } = answer;
  if (!health)
    return warn(
      check,
      `answers at ${socket}; its health could not be asked for`,
      `Look in its log for the address of its metrics: ${commands.look}`,
    );
  if (!health.ok)
    return fail(
      check,
      `is not well: ${health.reasons.join('; ')}`,
      'The fault is with what it names, not with the agent.',
    );
  if (health.version !== version) {
    return warn(check, `is version ${health.version}, this cnictl ${version}`, commands.restart);
  }
  const past = Object.entries(health.callsPastAgent ?? {}).filter(([, count]) => count > 0);
  if (past.length > 0) {
    const total = past.reduce((sum, [, count]) => sum + count, 0);
    const reasons = past.map(([reason, count]) => `${count} ${reason}`).join(', ');
    return warn(
      check,
      `answers at ${socket}, but ${plural(total, 'call')} came past it since it began: ${reasons}`,
      'configured: "agent" is false. unanswered: "agent" names a socket where none answers. hung: its log tells why.',
    );
  }
  return ok(check, `answers at ${socket}, version ${version}, well`);
}

/** No line where no port for metrics is asked for. */
export function judgeMetricsPort({ health }: AgentAnswer, commands = BY_SYSTEMD): Finding[] {
  if (!health?.metricsPort) return [];
  const { listen, tls, reason } = health.metricsPort;
  const check = 'metrics port';
  if (reason === undefined) return [ok(check, `${listen}, ${tls ? 'with TLS' : 'without TLS'}`)];
  return [
    warn(
      check,
      `${listen} is not served as configured: ${reason}`,
      `Mend it: the agent tries again each second. Its log: ${commands.look}`,
    ),
  ];
}

/** Whether agent and plugin have a Node to run on: without it they are in their folders in vain. */
export function nodeProgramCheck(host: Pick<World, 'files' | 'exec' | 'now'>): Check {
  const check = 'Node';
  return {
    name: check,
    look: async () => {
      const { node, agentFault, pluginFault } = await lookAtNode(host);
      const fault = agentFault ?? pluginFault;
      if (fault !== undefined) return [fail(check, fault, NODE_REMEDY)];
      const ended = supportEnd(node?.version, host.now());
      const age = ended === undefined ? '' : `, which its makers have not maintained since ${ended}`;
      return [ok(check, `${node?.version ?? ''} at ${node?.path ?? ''}${age}`)];
    },
  };
}

/** The runtime's folders and the state folder. */
export interface NodePaths {
  readonly confDir: string;
  readonly binDir: string;
  readonly stateDir: string;
  /** Whether this cnictl runs in a pod, where a folder of the host may not be mounted. */
  readonly inPod: boolean;
}

export function fileChecks(files: Pick<Files, 'list' | 'read' | 'kind'>, paths: NodePaths): Check[] {
  const check = (name: string, look: () => readonly Finding[]): Check => ({
    name,
    look: () => new Promise((resolve) => resolve(look())),
  });
  return [
    check('network', () => judgeNetwork(files, paths)),
    check('put-off teardowns', () => [judgePending(files, paths.stateDir)]),
  ];
}

/**
 * containerd and CRI-O take the first file by name. This checks that ours is the first and is
 * valid.
 */
function judgeNetwork(
  files: Pick<Files, 'list' | 'read' | 'kind'>,
  { confDir, binDir, inPod }: NodePaths,
): Finding[] {
  if (inPod && files.kind(confDir) === undefined) {
    const where = 'look on the node, or mount it';
    return [ok('network', `not looked at: ${confDir} is not mounted in this pod; ${where}`)];
  }
  const names = files.list(confDir).filter((name) => /\.(conf|conflist|json)$/.test(name));
  const install = 'cnictl node install';
  const name = names.find((each) => namesCellnet(files.read(join(confDir, each)) ?? ''));
  if (name === undefined) {
    const others = names.length === 0 ? 'no file' : names.join(', ');
    return [fail('network', `no network configuration list of cellnet in ${confDir}: ${others}`, install)];
  }
  const file = join(confDir, name);
  const text = files.read(file) ?? '';
  const lines: Finding[] = [];
  try {
    checkConflist(text, file);
    const edited = isEdited(file, text, files)
      ? ', edited since node install wrote it: upgrades keep it'
      : '';
    lines.push(
      name === names[0]
        ? ok('network', `${file}${edited}`)
        : warn(
            'network',
            `${file}, but a runtime takes ${names[0] ?? ''} first`,
            'Remove the other, or give ours a name that comes before.',
          ),
    );
  } catch (error) {
    lines.push(fail('network', `${file}: ${messageOf(error)}`, install));
  }
  const types = typesOf(text);
  const missing = types.filter((type) => files.kind(join(binDir, type)) === undefined);
  lines.push(
    missing.length === 0
      ? ok('plugins', `${types.join(', ')} in ${binDir}`)
      : fail(
          'plugins',
          `${missing.join(', ')} missing in ${binDir}`,
          `${install}; others are in Debian's containernetworking-plugins`,
        ),
  );
  return lines;
}

/** Returns the types of all plugins in the list and of their IPAM plugins. */
function typesOf(text: string): string[] {
  const { plugins } = JSON.parse(text) as { plugins: { type?: unknown; ipam?: { type?: unknown } }[] };
  const types = plugins.flatMap(({ type, ipam }) => [type, ipam?.type]);
  return [...new Set(types.filter((type) => typeof type === 'string' && type !== ''))] as string[];
}

function judgePending(files: Pick<Files, 'list' | 'kind'>, stateDir: string): Finding {
  const folder = join(stateDir, 'pending');
  const waiting = files.list(folder);
  if (waiting.length === 0) return ok('put-off teardowns', 'none');
  return warn(
    'put-off teardowns',
    `${plural(waiting.length, 'teardown')} put off in ${folder}: etcd or Open vSwitch was away`,
    'The agent, or the next ADD or DEL on this node, carries them out once both answer; at once: cnictl node reconcile',
  );
}
