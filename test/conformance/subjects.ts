/** The plugins under test: cellnet's on a simulated node, Debian's in a network namespace. */
import { startAgent } from '../support/agent.ts';
import { OUR_PLUGINS, STOCK_PLUGINS } from '../support/cni.ts';
import { startFabric } from '../support/fabric.ts';
import { scopedNamespace, type Scope } from '../support/netns.ts';
import { startNode } from '../support/node.ts';
import { must } from '../support/proc.ts';
import type { PluginKind, Subject } from './trial.ts';

/**
 * Returns `cellnet` and `cellnet-ipam` on a real etcd and Open vSwitch, each without and with the
 * node agent.
 */
export const ownSubjects = async (scope: Scope): Promise<Subject[]> => {
  const fabric = scope.use(await startFabric());
  const node = scope.use(await startNode(fabric, 'node-1'));
  const range = ['10.20.0.0/22', '--gateway', '10.20.0.1', '--vlan', '120', '--cooldown', '0'];
  const { code, stderr } = await fabric.cnictl('range', 'add', ...range);
  if (code !== 0) throw new Error(stderr);
  const { ipam, ...config } = node.networkConfig();
  const agent = scope.use(await startAgent(node));
  const ways = [
    { by: 'by itself', env: node.env },
    { by: 'by the agent', env: { ...node.env, ...agent.env } },
  ];
  return ways.flatMap(({ by, env }): Subject[] => {
    const common = { path: `${OUR_PLUGINS}:${STOCK_PLUGINS}`, host: node.ns.name, env };
    return [
      {
        ...common,
        name: `cellnet ${by}`,
        binary: `${OUR_PLUGINS}/cellnet`,
        kind: 'main',
        config: { ...config, ipam },
      },
      {
        ...common,
        name: `cellnet-ipam ${by}`,
        binary: `${OUR_PLUGINS}/cellnet-ipam`,
        kind: 'ipam',
        config: { name: 'cell', type: 'bridge', ipam },
      },
    ];
  });
};

/** Returns the reference plugins of containernetworking-plugins as Debian packages them. */
export const referenceSubjects = async (scope: Scope): Promise<Subject[]> => {
  const host = await scopedNamespace(scope, 'host');
  await must('ip', ['-n', host.name, 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1']);
  for (const name of ['up0', 'up1']) await must('ip', ['-n', host.name, 'link', 'set', name, 'up']);
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet: '10.9.0.0/16' }]],
    routes: [{ dst: '0.0.0.0/0' }],
    dataDir: await scope.tempDir(),
  };
  const subject = (type: string, kind: PluginKind, config: object): Subject => ({
    name: type,
    binary: `${STOCK_PLUGINS}/${type}`,
    kind,
    config: { name: 'reference', type, ...config },
    path: STOCK_PLUGINS,
    host: host.name,
    env: {},
  });
  return [
    subject('bridge', 'main', { bridge: 'ref0', isGateway: true, ipam }),
    subject('macvlan', 'main', { master: 'up0', ipam }),
    subject('ptp', 'main', { ipam }),
    subject('host-local', 'ipam', { type: 'bridge', ipam }),
    subject('tuning', 'chained', { sysctl: {} }),
  ];
};
