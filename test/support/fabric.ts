/**
 * The infrastructure that simulated nodes share, in one network namespace:
 *
 *     phys   an Open vSwitch bridge that plays the physical switch: each node's uplink is a trunk
 *            of all VLANs
 *     gwVLAN an internal port of that bridge per gateway, tagged with its VLAN; the namespace does
 *            not route between them
 *     mgmt   a Linux bridge, 172.30.0.1/24, where etcd listens on 2379; each node has an interface
 *            on it (172.30.0.11 …)
 *
 * Nothing of it is in the machine's own namespace. Only `etcd.ctl`, `cnictl` below and plugins that
 * run in a node's namespace reach this etcd.
 */
import { OUR_PLUGINS } from './cni.ts';
import { startEtcd, type Etcd, type EtcdOptions } from './etcd.ts';
import { joinNamespaces, makeNamespace, newScope, setSysctl, uniqueName, type Namespace } from './netns.ts';
import { startOvs } from './ovs.ts';
import { run, type RunResult } from './proc.ts';

export type Ovs = Awaited<ReturnType<typeof startOvs>>;

export interface Gateway {
  readonly vlan: number;
  /** The gateway's own address with the range's prefix length, such as 10.20.0.1/22. */
  readonly address: string;
}

/** The links between one node and the fabric. */
export interface Legs {
  /** Interface of the switch at the other end of the node's uplink. */
  readonly switchPort: string;
  /** The node's address on the management network. */
  readonly managementIp: string;
}

export interface Fabric {
  readonly ns: Namespace;
  readonly etcd: Etcd;
  readonly ovs: Ovs;
  /** CELLNET_ETCD_… variables of this etcd, for plugins and cnictl. */
  readonly env: Readonly<Record<string, string>>;
  /** Adds a gateway after the start. Returns the name of its interface in `ns`. */
  addGateway(gateway: Gateway): Promise<string>;
  /** Creates a node's uplink (`uplink0` in the node) and its management interface (`mgmt0`). */
  connect(node: Namespace): Promise<Legs>;
  /** Runs dist/bin/cnictl in `ns`. Resolves with the result whatever its status. */
  cnictl(...args: string[]): Promise<RunResult>;
  stop(): Promise<void>;
}

export interface FabricOptions {
  /** Default: 10.20.0.1/22 on VLAN 120. */
  readonly gateways?: readonly Gateway[];
  readonly etcd?: Pick<EtcdOptions, 'tls' | 'auth' | 'dir' | 'args' | 'members'>;
}

const MANAGEMENT = '172.30.0';
/** The fabric's own address on the management network, which every node reaches. */
export const MANAGEMENT_ADDRESS = `${MANAGEMENT}.1`;
/**
 * A fixed address: otherwise the bridge takes the lowest MAC of its ports, and nodes that have
 * learnt it lose the connection when another node comes or goes.
 */
const MANAGEMENT_MAC = '02:00:00:1e:00:01';

const etcdEnv = (etcd: Etcd): Record<string, string> => ({
  CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','),
  ...(etcd.caFile !== undefined && { CELLNET_ETCD_CA_FILE: etcd.caFile }),
  ...(etcd.certFile !== undefined && { CELLNET_ETCD_CERT_FILE: etcd.certFile }),
  ...(etcd.keyFile !== undefined && { CELLNET_ETCD_KEY_FILE: etcd.keyFile }),
});

const makeManagementNetwork = async (ns: Namespace): Promise<void> => {
  await setSysctl(ns.name, 'net/ipv4/ip_forward', 0);
  await ns.exec('ip', 'link', 'add', 'mgmt', 'address', MANAGEMENT_MAC, 'type', 'bridge');
  await ns.exec('ip', 'address', 'add', `${MANAGEMENT}.1/24`, 'dev', 'mgmt');
  await ns.exec('ip', 'link', 'set', 'mgmt', 'up');
};

/** Builds the fabric, gateways included, in about a second. Leaves nothing behind on failure. */
export const startFabric = async ({ gateways, etcd: etcdOptions }: FabricOptions = {}): Promise<Fabric> => {
  const scope = newScope();
  try {
    const ns = scope.use(await makeNamespace(uniqueName('fabric')));
    await makeManagementNetwork(ns);
    const [ovs, etcd] = await Promise.all([
      startOvs({ netns: ns.name, dir: await scope.tempDir() }).then((it) => scope.use(it)),
      startEtcd({ ...etcdOptions, netns: ns.name, ip: `${MANAGEMENT}.1` }).then((it) => scope.use(it)),
    ]);
    await ovs.vsctl(
      'add-br',
      'phys',
      '--',
      'set',
      'bridge',
      'phys',
      'datapath_type=netdev',
      'fail_mode=standalone',
    );
    const env = etcdEnv(etcd);
    let nodes = 0;
    const fabric: Fabric = {
      ns,
      etcd,
      ovs,
      env,
      addGateway: async ({ vlan, address }) => {
        const link = `gw${vlan}`;
        const internal = ['--', 'set', 'interface', link, 'type=internal'];
        await ovs.vsctl('--may-exist', 'add-port', 'phys', link, `tag=${vlan}`, ...internal);
        await ns.exec('ip', 'address', 'add', address, 'dev', link);
        await ns.exec('ip', 'link', 'set', link, 'up');
        return link;
      },
      connect: async (node) => {
        const index = ++nodes;
        const [switchPort, managementIp] = [`port${index}`, `${MANAGEMENT}.${10 + index}`];
        await joinNamespaces({ ns: ns.name, name: switchPort }, { ns: node.name, name: 'uplink0' });
        await ovs.vsctl('add-port', 'phys', switchPort);
        const far = { ns: node.name, name: 'mgmt0', address: `${managementIp}/24` };
        await joinNamespaces({ ns: ns.name, name: `leg${index}` }, far);
        await ns.exec('ip', 'link', 'set', `leg${index}`, 'master', 'mgmt');
        return { switchPort, managementIp };
      },
      cnictl: (...args) => run(`${OUR_PLUGINS}/cnictl`, args, { netns: ns.name, env }),
      stop: () => scope.close(),
    };
    for (const gateway of gateways ?? [{ vlan: 120, address: '10.20.0.1/22' }])
      await fabric.addGateway(gateway);
    return fabric;
  } catch (error) {
    await scope.close();
    throw error;
  }
};
