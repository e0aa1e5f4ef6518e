import { join } from 'node:path';
import { after, before } from 'node:test';
import { OvsdbClient } from '../../../cni/ovsdb/client.ts';
import { addPort } from '../../../cni/ovsdb/ports.ts';
import { makeNamespace, newScope, uniqueName, type Namespace, type Scope } from '../../support/netns.ts';
import { startOvs, type Ovs } from '../../support/ovs.ts';
import { must } from '../../support/proc.ts';

/** Milliseconds. */
export const DEADLINE = 3_000;

export const idsOf = (n: number | string): Record<string, string> => ({
  owner: 'cellnet',
  'container-id': `c${n}`,
  ifname: 'eth0',
  ip: '10.20.0.17',
});

/** Makes a key and a certificate that it signs itself: RSA 2048, valid for a day. */
export const makeSelfSigned = async (name: string, keyFile: string, certFile: string): Promise<void> => {
  const kind = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1'];
  await must('openssl', ['req', ...kind, '-subj', `/CN=${name}`, '-keyout', keyFile, '-out', certFile]);
};

/** A real Open vSwitch with bridge br-t, the veths v0 to v59, and a client of its database. */
export interface OvsWorld {
  scope: Scope;
  ns: Namespace;
  ovs: Ovs;
  client: OvsdbClient;
  /** Attaches the link to br-t with the marks of container `c` + name. Returns its ofport. */
  add(name: string, more?: AddOptions): Promise<number>;
}

export interface AddOptions {
  readonly tag?: number;
  readonly bridge?: string;
  readonly id?: string;
  readonly via?: OvsdbClient;
}

/** Gives the calling suite a world of its own, from its `before` to its `after`. */
export const useOvs = (): OvsWorld => {
  const world = {
    add: (name: string, more: AddOptions = {}): Promise<number> =>
      addPort(
        more.via ?? world.client,
        { bridge: more.bridge ?? 'br-t', name, tag: more.tag, externalIds: idsOf(more.id ?? name) },
        DEADLINE,
      ),
  } as OvsWorld;
  before(async () => {
    const scope = newScope();
    world.scope = scope;
    const dir = await scope.tempDir();
    const ns = scope.use(await makeNamespace(uniqueName('ovsdb')));
    await makeSelfSigned('test', join(dir, 'key.pem'), join(dir, 'cert.pem'));
    const tls = [
      `--private-key=${dir}/key.pem`,
      `--certificate=${dir}/cert.pem`,
      `--ca-cert=${dir}/cert.pem`,
    ];
    const ovs = scope.use(await startOvs({ netns: ns.name, dir: join(dir, 'ovs'), databaseArgs: tls }));
    await ovs.vsctl('add-br', 'br-t', '--', 'set', 'bridge', 'br-t', 'datapath_type=netdev');
    for (let i = 0; i < 60; i++)
      await must('ip', [
        '-n',
        ns.name,
        'link',
        'add',
        `v${i}`,
        'up',
        'type',
        'veth',
        'peer',
        'name',
        `w${i}`,
      ]);
    world.ns = ns;
    world.ovs = ovs;
    world.client = await OvsdbClient.connect(ovs.remote, { deadlineMs: DEADLINE });
  });
  after(async () => {
    world.client.close();
    await world.scope.close();
  });
  return world;
};
