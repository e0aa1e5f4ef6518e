/**
 * The sentences of the CNI specification (SPEC.md, 1.1.0) as cases. Each case names its section.
 */
import assert from 'node:assert/strict';
import type { CniReply } from '../support/cni.ts';
import {
  isAtLeast,
  linkIn,
  makeInterface,
  refused,
  succeeded,
  type PluginKind,
  type Trial,
  type TrialPod,
  type Version,
} from './trial.ts';

export interface Case {
  /** Section of SPEC.md. */
  readonly section: string;
  readonly sentence: string;
  /** Absent: applies to every kind of plugin. */
  readonly kinds?: readonly PluginKind[];
  /** The first version with this rule. Absent: all versions. */
  readonly since?: Version;
  /** The first version without this rule. */
  readonly before?: Version;
  readonly run: (trial: Trial) => Promise<void>;
}

const VERSION_VERB = '2 VERSION';
const VERSION_REPLY = '5 VERSION Success';
const ADD = '2 ADD';
const DEL = '2 DEL';
const CHECK = '2 CHECK';
const GC = '2 GC';
const STATUS = '2 STATUS';
const PARAMETERS = '2 Parameters';
const CONFIGURATION = '1 Plugin configuration objects';
const SUCCESS = '5 ADD Success';
const ERROR = '5 Error';
const DELEGATED = '4 Delegated plugin execution';
const MAKES_INTERFACES = ['main'] as const;
const GIVES_ADDRESSES = ['main', 'ipam'] as const;

const checkConfig = (trial: Trial, result: CniReply): object => trial.config({ prevResult: result });

/** Removes an environment variable from a call. */
const without = (name: string): { env: Record<string, undefined> } => ({ env: { [name]: undefined } });
const withValue = (name: string, value: string): { env: Record<string, string> } => ({
  env: { [name]: value },
});

const attachment = ({ containerId }: TrialPod, ifname = 'eth0'): object => ({
  containerID: containerId,
  ifname,
});

const environmentCases: Case[] = [
  ...(
    [
      ['ADD', 'CNI_CONTAINERID'],
      ['ADD', 'CNI_NETNS'],
      ['ADD', 'CNI_IFNAME'],
      ['DEL', 'CNI_CONTAINERID'],
      ['DEL', 'CNI_IFNAME'],
    ] as const
  ).map(([verb, name]): Case => ({
    section: PARAMETERS,
    sentence: `${verb} without ${name} is code 4, and the message names it`,
    run: async (trial) => {
      refused(await trial.call(verb, await trial.pod(), without(name)), 4, name);
    },
  })),
  ...(
    [
      ['CNI_CONTAINERID', '../../etc/passwd', 'must start with an alphanumeric character'],
      ['CNI_CONTAINERID', '-x', 'must start with an alphanumeric character'],
      ['CNI_CONTAINERID', 'a/b', 'followed by alphanumerics, underscore, dot or hyphen'],
      ['CNI_IFNAME', 'sixteen-letters-', 'an interface name that the kernel can have'],
      ['CNI_IFNAME', '.', 'an interface name that the kernel can have'],
      ['CNI_IFNAME', '..', 'an interface name that the kernel can have'],
      ['CNI_IFNAME', 'a/b', 'an interface name that the kernel can have'],
      ['CNI_IFNAME', 'a:b', 'an interface name that the kernel can have'],
      ['CNI_IFNAME', 'a b', 'an interface name that the kernel can have'],
    ] as const
  ).map(([name, value, rule]): Case => ({
    section: PARAMETERS,
    sentence: `${name} '${value}' is code 4: ${rule}`,
    run: async (trial) => {
      refused(await trial.call('ADD', await trial.pod(), withValue(name, value)), 4);
    },
  })),
  {
    section: PARAMETERS,
    sentence: 'an unknown CNI_COMMAND is code 4, and the message names the variable',
    run: async (trial) => {
      refused(await trial.call('ADD', await trial.pod(), withValue('CNI_COMMAND', 'FROB')), 4, 'CNI_COMMAND');
    },
  },
  {
    section: PARAMETERS,
    sentence: 'CNI_ARGS with unknown keys is fine where IgnoreUnknown is set',
    kinds: GIVES_ADDRESSES,
    run: async (trial) => {
      succeeded(
        await trial.call('ADD', await trial.pod(), { args: { IgnoreUnknown: '1', NOBODY_KNOWS: 'this' } }),
      );
    },
  },
];

const errorCases: Case[] = [
  {
    section: ERROR,
    sentence: 'stdin that is no JSON is code 6',
    run: async (trial) => {
      refused(await trial.call('ADD', await trial.pod(), { config: '{"cniVersion":' }), 6);
    },
  },
  {
    section: ERROR,
    sentence: 'an unsupported cniVersion is code 1',
    run: async (trial) => {
      refused(
        await trial.call('ADD', await trial.pod(), { config: trial.config({ cniVersion: '99.0.0' }) }),
        1,
      );
    },
  },
  {
    section: ERROR,
    sentence: "an error carries the configuration's cniVersion",
    run: async (trial) => {
      const { cniVersion } = refused(await trial.call('ADD', await trial.pod(), without('CNI_IFNAME')));
      assert.equal(cniVersion, trial.version);
    },
  },
  {
    section: ERROR,
    sentence: 'a network namespace that does not exist is an error of ADD',
    kinds: MAKES_INTERFACES,
    run: async (trial) => {
      refused(await trial.call('ADD', await trial.pod(), { netns: '/run/netns/does-not-exist' }));
    },
  },
];

const configurationCases: Case[] = [
  {
    section: CONFIGURATION,
    sentence: 'a configuration without a name is code 7',
    run: async (trial) => {
      refused(await trial.call('ADD', await trial.pod(), { config: trial.config({ name: undefined }) }), 7);
    },
  },
  {
    section: CONFIGURATION,
    sentence: 'a name that does not start with an alphanumeric character is code 7',
    run: async (trial) => {
      refused(await trial.call('ADD', await trial.pod(), { config: trial.config({ name: '../up' }) }), 7);
    },
  },
  {
    section: CONFIGURATION,
    sentence: 'args that are not understood are ignored',
    kinds: GIVES_ADDRESSES,
    run: async (trial) => {
      const config = trial.config({ args: { labels: { app: 'x' }, 'org.example/key': [1, 2] } });
      succeeded(await trial.call('ADD', await trial.pod(), { config }));
    },
  },
  {
    section: CONFIGURATION,
    sentence: 'capabilities and runtimeConfig of others are ignored',
    kinds: GIVES_ADDRESSES,
    run: async (trial) => {
      const config = trial.config({
        capabilities: { 'org.example': true },
        runtimeConfig: { 'org.example': { a: 1 } },
      });
      succeeded(await trial.call('ADD', await trial.pod(), { config }));
    },
  },
];

const versionCases: Case[] = [
  {
    section: VERSION_VERB,
    sentence: 'needs no parameter but CNI_COMMAND, and tells the supported versions',
    run: async (trial) => {
      const { supportedVersions } = succeeded(
        await trial.call('VERSION', undefined, { config: { cniVersion: trial.version } }),
      );
      assert.ok(supportedVersions?.includes(trial.version), JSON.stringify(supportedVersions));
    },
  },
  {
    section: VERSION_REPLY,
    sentence: 'answers in the version that it was asked in',
    run: async (trial) => {
      const { cniVersion } = succeeded(
        await trial.call('VERSION', undefined, { config: { cniVersion: trial.version } }),
      );
      assert.equal(cniVersion, trial.version);
    },
  },
];

const addCases: Case[] = [
  {
    section: ADD,
    sentence:
      'creates the interface of the given name inside the container, with the addresses of the result',
    kinds: MAKES_INTERFACES,
    run: async (trial) => {
      const { pod, result } = await trial.added();
      const link = await linkIn(pod.ns, 'eth0');
      assert.ok(link, 'no eth0 in the container');
      const index = result.interfaces?.findIndex(({ name, sandbox }) => name === 'eth0' && Boolean(sandbox));
      for (const ip of result.ips ?? []) {
        if (ip.interface === index)
          assert.ok(link.addresses.includes(ip.address), `${ip.address} is not on eth0`);
      }
      assert.equal(result.interfaces?.[index ?? -1]?.mac?.toLowerCase(), link.mac);
    },
  },
  {
    section: ADD,
    sentence: 'an interface name other than eth0 is used as given',
    kinds: MAKES_INTERFACES,
    run: async (trial) => {
      const { pod } = await trial.added({ ifname: 'net1' });
      assert.ok(await linkIn(pod.ns, 'net1'), 'no net1 in the container');
      assert.equal(await linkIn(pod.ns, 'eth0'), undefined);
    },
  },
  {
    section: ADD,
    sentence: 'an interface of that name that exists already is an error, and it stays as it is',
    kinds: MAKES_INTERFACES,
    run: async (trial) => {
      const pod = await trial.pod();
      await makeInterface(pod.ns, 'eth0');
      refused(await trial.call('ADD', pod));
      assert.equal((await linkIn(pod.ns, 'eth0'))?.mac, '02:00:00:00:00:01');
    },
  },
  {
    section: ADD,
    sentence: 'a container may be attached more than once, by different interface names',
    kinds: GIVES_ADDRESSES,
    run: async (trial) => {
      const { pod, result } = await trial.added();
      const second = succeeded(await trial.call('ADD', pod, { ifname: 'net1' }));
      assert.notEqual(second.ips?.[0]?.address, result.ips?.[0]?.address);
    },
  },
  {
    section: ADD,
    sentence: 'two containers get different addresses',
    kinds: GIVES_ADDRESSES,
    run: async (trial) => {
      const [a, b] = [await trial.added(), await trial.added()];
      assert.ok(a.result.ips?.[0]?.address);
      assert.notEqual(a.result.ips[0].address, b.result.ips?.[0]?.address);
    },
  },
];

const resultCases: Case[] = [
  {
    section: SUCCESS,
    sentence: 'cniVersion is that of the configuration',
    run: async (trial) => {
      assert.equal((await trial.added()).result.cniVersion, trial.version);
    },
  },
  {
    section: SUCCESS,
    sentence:
      'interfaces lists the container interface with its sandbox; ips refer to interfaces that are listed',
    kinds: MAKES_INTERFACES,
    run: async (trial) => {
      const { pod, result } = await trial.added();
      const own = result.interfaces?.filter(
        ({ name, sandbox }) => name === 'eth0' && sandbox === pod.ns.path,
      );
      assert.equal(own?.length, 1, JSON.stringify(result.interfaces));
      for (const { interface: index } of result.ips ?? []) {
        assert.ok(index !== undefined && result.interfaces?.[index], `ips name interface ${index ?? 'none'}`);
      }
    },
  },
  {
    section: SUCCESS,
    sentence: 'addresses are in CIDR notation, gateways and routes are addresses and subnets',
    kinds: GIVES_ADDRESSES,
    run: async (trial) => {
      const { result } = await trial.added();
      assert.ok((result.ips ?? []).length > 0, 'no ips');
      for (const { address, gateway } of result.ips ?? []) {
        assert.match(address, /^[0-9a-f.:]+\/\d+$/i);
        if (gateway !== undefined) assert.match(gateway, /^[0-9a-f.:]+$/i);
      }
      for (const { dst, gw } of result.routes ?? []) {
        assert.match(dst, /^[0-9a-f.:]+\/\d+$/i);
        if (gw !== undefined) assert.match(gw, /^[0-9a-f.:]+$/i);
      }
    },
  },
  {
    section: SUCCESS,
    sentence: 'each of ips names its IP version, before 1.0.0',
    kinds: GIVES_ADDRESSES,
    before: '1.0.0',
    run: async (trial) => {
      for (const { address, version } of (await trial.added()).result.ips ?? [])
        assert.equal(version, address.includes(':') ? '6' : '4');
    },
  },
  {
    section: SUCCESS,
    sentence: 'none of ips names its IP version, since 1.0.0',
    kinds: GIVES_ADDRESSES,
    since: '1.0.0',
    run: async (trial) => {
      for (const { version } of (await trial.added()).result.ips ?? []) assert.equal(version, undefined);
    },
  },
  {
    section: SUCCESS,
    sentence: 'an interface tells no mtu, socketPath or pciID before 1.1.0',
    kinds: MAKES_INTERFACES,
    before: '1.1.0',
    run: async (trial) => {
      for (const each of (await trial.added()).result.interfaces ?? [])
        assert.deepEqual(
          Object.keys(each).filter((key) => !['name', 'mac', 'sandbox'].includes(key)),
          [],
        );
    },
  },
  {
    section: DELEGATED,
    sentence: "an IPAM plugin's result has no interfaces, and its ips no interface index",
    kinds: ['ipam'],
    run: async (trial) => {
      const { result } = await trial.added();
      assert.equal(result.interfaces, undefined);
      for (const ip of result.ips ?? []) assert.equal(ip.interface, undefined);
    },
  },
  {
    section: SUCCESS,
    sentence: 'a plugin that is given a prevResult passes it on',
    kinds: ['chained'],
    run: async (trial) => {
      const { pod, result } = await trial.added();
      const { prevResult } = trial.chain(pod) as { prevResult: CniReply };
      assert.deepEqual(result.ips, prevResult.ips);
      assert.equal(result.interfaces?.[0]?.name, 'eth0');
    },
  },
];

const delCases: Case[] = [
  {
    section: DEL,
    sentence: 'removes the interface, and prints nothing',
    kinds: MAKES_INTERFACES,
    run: async (trial) => {
      const { pod, result } = await trial.added();
      const outcome = await trial.call('DEL', pod, { config: checkConfig(trial, result) });
      succeeded(outcome);
      assert.equal(outcome.stdout, '');
      assert.equal(await linkIn(pod.ns, 'eth0'), undefined);
    },
  },
  {
    section: DEL,
    sentence: 'again, of what is gone already, succeeds',
    run: async (trial) => {
      const { pod } = await trial.added();
      for (let i = 0; i < 2; i++) succeeded(await trial.call('DEL', pod));
    },
  },
  {
    section: DEL,
    sentence: 'of what was never added succeeds',
    run: async (trial) => {
      succeeded(await trial.call('DEL', await trial.pod()));
    },
  },
  {
    section: DEL,
    sentence: 'without CNI_NETNS and prevResult succeeds',
    run: async (trial) => {
      const { pod } = await trial.added();
      succeeded(await trial.call('DEL', pod, without('CNI_NETNS')));
    },
  },
  {
    section: DEL,
    sentence: 'with a network namespace that is gone succeeds',
    run: async (trial) => {
      const { pod } = await trial.added();
      await pod.ns.stop();
      succeeded(await trial.call('DEL', pod));
    },
  },
  {
    section: DEL,
    sentence: 'of one interface leaves another of the same container',
    kinds: MAKES_INTERFACES,
    run: async (trial) => {
      const { pod } = await trial.added();
      succeeded(await trial.call('ADD', pod, { ifname: 'net1' }));
      succeeded(await trial.call('DEL', pod, { ifname: 'net1' }));
      assert.ok(await linkIn(pod.ns, 'eth0'), 'eth0 is gone');
      assert.equal(await linkIn(pod.ns, 'net1'), undefined);
    },
  },
];

const checkCases: Case[] = [
  {
    section: CHECK,
    sentence: 'passes immediately after ADD, and prints nothing',
    since: '0.4.0',
    run: async (trial) => {
      const { pod, result } = await trial.added();
      const outcome = await trial.call('CHECK', pod, { config: checkConfig(trial, result) });
      succeeded(outcome);
      assert.equal(outcome.stdout, '');
    },
  },
  {
    section: CHECK,
    sentence: 'without prevResult is an error',
    since: '0.4.0',
    run: async (trial) => {
      const { pod } = await trial.added();
      refused(await trial.call('CHECK', pod));
    },
  },
  {
    section: CHECK,
    sentence: 'is an error when the interface is missing',
    kinds: MAKES_INTERFACES,
    since: '0.4.0',
    run: async (trial) => {
      const { pod, result } = await trial.added();
      await pod.ns.exec('ip', 'link', 'del', 'eth0');
      refused(await trial.call('CHECK', pod, { config: checkConfig(trial, result) }));
    },
  },
  {
    section: CHECK,
    sentence: 'is an error when an address is missing',
    kinds: MAKES_INTERFACES,
    since: '0.4.0',
    run: async (trial) => {
      const { pod, result } = await trial.added();
      await pod.ns.exec('ip', 'address', 'del', result.ips?.[0]?.address ?? '', 'dev', 'eth0');
      refused(await trial.call('CHECK', pod, { config: checkConfig(trial, result) }));
    },
  },
  {
    section: CHECK,
    sentence: 'is an error when a route of the result is missing',
    kinds: MAKES_INTERFACES,
    since: '0.4.0',
    run: async (trial) => {
      const { pod, result } = await trial.added();
      const [route] = result.routes ?? [];
      if (!route) return; // The configuration adds no routes.
      await pod.ns.exec('ip', 'route', 'del', route.dst);
      refused(await trial.call('CHECK', pod, { config: checkConfig(trial, result) }));
    },
  },
  {
    section: CHECK,
    sentence: 'is an error when the address is not reserved any more',
    kinds: ['ipam'],
    since: '0.4.0',
    run: async (trial) => {
      const { pod, result } = await trial.added();
      succeeded(await trial.call('DEL', pod));
      refused(await trial.call('CHECK', pod, { config: checkConfig(trial, result) }));
    },
  },
  {
    section: CHECK,
    sentence: 'allows for a later plugin of the chain that changed routes and the MAC',
    kinds: MAKES_INTERFACES,
    since: '0.4.0',
    run: async (trial) => {
      const { pod, result } = await trial.added();
      const mac = '02:00:00:00:00:02';
      await pod.ns.exec('ip', 'route', 'add', '192.0.2.0/24', 'dev', 'eth0');
      await pod.ns.exec('ip', 'link', 'set', 'eth0', 'address', mac);
      const interfaces = result.interfaces?.map((each) => (each.name === 'eth0' ? { ...each, mac } : each));
      const routes = [...(result.routes ?? []), { dst: '192.0.2.0/24' }];
      succeeded(
        await trial.call('CHECK', pod, {
          config: checkConfig(trial, { ...result, interfaces, routes } as CniReply),
        }),
      );
    },
  },
  {
    section: CHECK,
    sentence: 'is an error before 0.4.0',
    before: '0.4.0',
    run: async (trial) => {
      const { pod, result } = await trial.added();
      refused(await trial.call('CHECK', pod, { config: checkConfig(trial, result) }));
    },
  },
];

const gcCases: Case[] = [
  {
    section: GC,
    sentence: 'needs no container, and leaves the valid attachments',
    kinds: GIVES_ADDRESSES,
    since: '1.1.0',
    run: async (trial) => {
      const { pod, result } = await trial.added();
      const config = trial.config({ 'cni.dev/valid-attachments': [attachment(pod)] });
      succeeded(await trial.call('GC', undefined, { config }));
      succeeded(await trial.call('CHECK', pod, { config: checkConfig(trial, result) }));
    },
  },
  {
    section: GC,
    sentence: 'removes the resources of attachments that are not valid',
    kinds: GIVES_ADDRESSES,
    since: '1.1.0',
    run: async (trial) => {
      const [stays, goes] = [await trial.added(), await trial.added()];
      const config = trial.config({ 'cni.dev/valid-attachments': [attachment(stays.pod)] });
      succeeded(await trial.call('GC', undefined, { config }));
      refused(await trial.call('CHECK', goes.pod, { config: checkConfig(trial, goes.result) }));
      succeeded(await trial.call('CHECK', stays.pod, { config: checkConfig(trial, stays.result) }));
      if (trial.subject.kind === 'main') assert.equal(await linkIn(goes.pod.ns, 'eth0'), undefined);
    },
  },
  {
    section: GC,
    sentence: 'tells one interface of a container from another',
    kinds: MAKES_INTERFACES,
    since: '1.1.0',
    run: async (trial) => {
      const { pod } = await trial.added();
      succeeded(await trial.call('ADD', pod, { ifname: 'net1' }));
      const config = trial.config({ 'cni.dev/valid-attachments': [attachment(pod, 'net1')] });
      succeeded(await trial.call('GC', undefined, { config }));
      assert.equal(await linkIn(pod.ns, 'eth0'), undefined);
      assert.ok(await linkIn(pod.ns, 'net1'), 'net1 is gone');
    },
  },
  {
    section: GC,
    sentence: 'leaves the attachments of another network',
    kinds: GIVES_ADDRESSES,
    since: '1.1.0',
    run: async (trial) => {
      const { pod, result } = await trial.added();
      const config = trial.config({ name: 'another', 'cni.dev/valid-attachments': [] });
      succeeded(await trial.call('GC', undefined, { config }));
      succeeded(await trial.call('CHECK', pod, { config: checkConfig(trial, result) }));
    },
  },
  {
    section: GC,
    sentence: 'is an error before 1.1.0',
    before: '1.1.0',
    run: async (trial) => {
      refused(
        await trial.call('GC', undefined, { config: trial.config({ 'cni.dev/valid-attachments': [] }) }),
      );
    },
  },
];

const statusCases: Case[] = [
  {
    section: STATUS,
    sentence: 'needs no container; ready is status 0 and nothing on stdout',
    since: '1.1.0',
    run: async (trial) => {
      const outcome = await trial.call('STATUS', undefined);
      succeeded(outcome);
      assert.equal(outcome.stdout, '');
    },
  },
  {
    section: STATUS,
    sentence: 'is an error before 1.1.0',
    before: '1.1.0',
    run: async (trial) => {
      refused(await trial.call('STATUS', undefined));
    },
  },
];

export const CASES: readonly Case[] = [
  ...versionCases,
  ...environmentCases,
  ...configurationCases,
  ...errorCases,
  ...addCases,
  ...resultCases,
  ...delCases,
  ...checkCases,
  ...gcCases,
  ...statusCases,
];

/** Returns the cases that apply to a plugin of this kind at this version. */
export const casesFor = (kind: PluginKind, version: Version): Case[] =>
  CASES.filter(
    ({ kinds, since = '0.3.0', before }) =>
      (kinds === undefined || kinds.includes(kind)) &&
      isAtLeast(version, since) &&
      (before === undefined || !isAtLeast(version, before)),
  );
