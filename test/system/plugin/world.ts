import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { formatAddress, formatCidr } from '../../../ipam/model/address.ts';
import { usedSlots, type Block } from '../../../ipam/model/block.ts';
import { validateBlock } from '../../../ipam/model/validate-block.ts';
import { decodeBlock } from '../../../ipam/records/block-record.ts';
import { decodeRange } from '../../../ipam/records/range-record.ts';
import type { CniOutcome } from '../../support/cni.ts';
import { startFabric, type Fabric } from '../../support/fabric.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { startNode, type Pod, type SimulatedNode } from '../../support/node.ts';
import { must } from '../../support/proc.ts';

/** The arguments of `cnictl range add` for the range that most tests use. */
export const BLUE = [
  '10.20.0.0/22',
  '--gateway',
  '10.20.0.1',
  '--vlan',
  '120',
  '--name',
  'blue',
  '--cooldown',
  '0',
];

/** A second range, on its own VLAN. */
export const GREEN = ['10.30.0.0/24', '--gateway', '10.30.0.1', '--vlan', '130', '--name', 'green'];

export interface Cluster {
  readonly scope: Scope;
  readonly fabric: Fabric;
  readonly nodes: readonly SimulatedNode[];
}

/** Starts a fabric with nodes and ranges for the tests of a file. The caller closes its scope. */
export async function startCluster(nodes: number, ...ranges: (readonly string[])[]): Promise<Cluster> {
  const scope = newScope();
  try {
    const fabric = scope.use(await startFabric());
    const names = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
    const started = await Promise.all(names.map(async (name) => scope.use(await startNode(fabric, name))));
    for (const range of ranges) await addRange(fabric, ...range);
    return { scope, fabric, nodes: started };
  } catch (error) {
    await scope.close();
    throw error;
  }
}

export async function addRange(fabric: Fabric, ...args: string[]): Promise<void> {
  const { code, stderr } = await fabric.cnictl('range', 'add', ...args);
  assert.equal(code, 0, stderr);
}

/** Reads, decodes and checks the blocks in etcd. */
export async function readBlocks(fabric: Fabric): Promise<Block[]> {
  const lines = (await fabric.etcd.ctl('get', '--prefix', '/cellnet/v1/')).trim().split('\n');
  const entries = new Map<string, string>();
  for (let i = 0; i + 1 < lines.length; i += 2)
    entries.set((lines[i] ?? '').slice('/cellnet/v1/'.length), lines[i + 1] ?? '');
  const pick = (prefix: string): [string, string][] => [...entries].filter(([key]) => key.startsWith(prefix));
  const ranges = new Map(pick('ranges/').map(([key, value]) => [key.slice(7), decodeRange(key, value)]));
  const blocks = pick('blocks/').map(([key, value]) => decodeBlock(key, value));
  for (const block of blocks) {
    const range = ranges.get(block.range);
    assert.ok(range, `block of range ${block.range}`);
    assert.deepEqual(validateBlock(block, range), []);
  }
  const index = pick('nodes/').map(([key]) => key.slice(6));
  assert.deepEqual(index.sort(), blocks.map((block) => `${block.node}/${formatCidr(block.cidr)}`).sort());
  return blocks;
}

/** Returns the allocated addresses, each with the ID of its container. */
export async function given(fabric: Fabric): Promise<Map<string, string>> {
  const slots = (await readBlocks(fabric)).flatMap((block) => usedSlots(block));
  return new Map(slots.map(({ address, slot }) => [formatAddress(address), slot.owner.containerId]));
}

/** Lists all of our state on the node. The list is empty when nothing is left. */
export async function remains(node: SimulatedNode): Promise<string[]> {
  const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');
  const ports = lines(await node.ovs.vsctl('list-ports', 'br-cell')).filter((port) => port !== 'uplink0');
  const interfaces = lines(await node.ovs.vsctl('--bare', '--columns=name', 'list', 'Interface')).filter(
    (name) => !['uplink0', 'br-cell'].includes(name),
  );
  const links = lines(await must('ip', ['-n', node.ns.name, '-brief', 'link', 'show', 'type', 'veth']))
    .map((line) => (line.split(/[@ ]/)[0] ?? '').trim())
    .filter((name) => !['uplink0', 'mgmt0'].includes(name));
  return [
    ...ports.map((name) => `port ${name}`),
    ...interfaces.map((name) => `interface row ${name}`),
    ...links.map((name) => `link ${name}`),
    ...stateFiles(node).map((file) => `file ${file}`),
  ];
}

/** Folders of the state folder whose files belong to attachments. */
const OF_ATTACHMENTS = ['attachments', 'pending', 'addresses'];

/** Lists the files of attachments below the node's state folder, as `pending/ID,eth0.json`. */
export function stateFiles(node: SimulatedNode): string[] {
  const folders = readdirSync(node.stateDir).filter((folder) => OF_ATTACHMENTS.includes(folder));
  return folders.flatMap((folder) =>
    readdirSync(join(node.stateDir, folder)).map((file) => `${folder}/${file}`),
  );
}

/** Lists the interfaces in the pod's namespace except lo. */
export async function podLinks(pod: Pod): Promise<string[]> {
  const text = await pod.ns.exec('ip', '-brief', 'link');
  return text
    .split('\n')
    .map((line) => (line.split(/[@ ]/)[0] ?? '').trim())
    .filter((name) => name !== '' && name !== 'lo');
}

export function succeeded(outcome: CniOutcome): void {
  assert.equal(outcome.code, 0, `${outcome.stdout}\n${outcome.stderr}`);
}

/** Asserts that the call failed with this CNI code and that its message matches. */
export function failed(outcome: CniOutcome, code: number, message: RegExp): void {
  assert.equal(outcome.code, 1, outcome.stdout);
  assert.equal(outcome.result?.code, code, outcome.stdout);
  assert.match(outcome.result.msg ?? '', message);
}
