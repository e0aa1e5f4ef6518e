import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { isMachineId, MACHINE_ID_FORM, type Machine } from '../../ipam/model/machine.ts';
import { CniError } from '../protocol/errors.ts';
import type { Environment } from '../protocol/request.ts';
import { readBoot } from './boot.ts';
import { withFolder } from './folder.ts';

const NETWORK_CARDS = '/sys/class/net';
const UNSET_MACS = ['', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff'];

const machineRecord = v.looseObject({
  v: v.literal(1),
  bootId: v.string(),
  id: v.string(),
  productUuid: v.optional(v.string()),
  macs: v.array(v.string()),
  machineId: v.optional(v.string()),
});

const machines = new Map<string, Machine>();

/**
 * Returns this machine, and keeps it in the state folder for the other processes of this boot:
 * reading the network cards of a node with hundreds of links takes milliseconds.
 * @throws CniError 4 for a CELLNET_MACHINE_ID of another form
 */
export function keepMachineOf(env: Environment, stateDir: string): Machine {
  if (env['CELLNET_MACHINE_ID']) return machineOf(env, stateDir);
  const known = machines.get(stateDir);
  if (known) return known;
  const kept = readKept(stateDir);
  const machine = kept ?? readMachine();
  machines.set(stateDir, machine);
  if (!kept) keep(stateDir, machine);
  return machine;
}

/**
 * Returns this machine, and writes nothing. `CELLNET_MACHINE_ID` names it where nothing else tells
 * it apart.
 * @throws CniError 4 for a CELLNET_MACHINE_ID of another form
 */
export function machineOf(env: Environment, stateDir: string): Machine {
  const id = env['CELLNET_MACHINE_ID'];
  if (!id) return readKept(stateDir) ?? readMachine();
  if (isMachineId(id)) return { id, macs: [], machineId: id };
  throw new CniError('invalid-environment', `CELLNET_MACHINE_ID '${id}': expected ${MACHINE_ID_FORM}`);
}

const fileIn = (stateDir: string): string => join(stateDir, 'machine.json');

function keep(stateDir: string, machine: Machine): void {
  const file = fileIn(stateDir);
  try {
    withFolder(stateDir, () => {
      const beside = `${file}.${process.pid}.tmp`;
      writeFileSync(beside, JSON.stringify({ v: 1, bootId: readBoot().bootId, ...machine }), { mode: 0o600 });
      renameSync(beside, file);
    });
  } catch {
    // The next process reads the network cards again.
  }
}

/**
 * Returns the machine that an earlier process of this boot has kept. A copy of the file counts for
 * nothing on another machine: a clone runs in another boot. A container shares the boot with its
 * host, and so does a clone of a running virtual machine, but not all of the rest.
 */
function readKept(stateDir: string): Machine | undefined {
  const text = read(fileIn(stateDir));
  if (text === undefined) return undefined;
  try {
    const kept = v.parse(machineRecord, JSON.parse(text));
    const { id, macs } = kept;
    const now = readIdentity();
    const isOfThis =
      kept.bootId === readBoot().bootId &&
      kept.productUuid === now.productUuid &&
      kept.machineId === now.machineId;
    return isOfThis ? { id, macs, ...now } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads what tells this machine from a clone of it: the firmware's product UUID, the permanent MACs
 * of its network cards, and machine-id(5).
 */
function readMachine(): Machine {
  const identity = readIdentity();
  const macs = networkCards();
  const text = JSON.stringify([identity.productUuid ?? '', macs, identity.machineId ?? '']);
  const id = createHash('sha256').update(text).digest('hex').slice(0, 12);
  return { id, macs, ...identity };
}

function readIdentity(): Pick<Machine, 'productUuid' | 'machineId'> {
  const productUuid = read('/sys/class/dmi/id/product_uuid')?.toLowerCase();
  const machineId = read('/etc/machine-id');
  return {
    ...(productUuid !== undefined && { productUuid }),
    ...(machineId !== undefined && { machineId }),
  };
}

/**
 * Returns the MACs of the network cards, sorted. Only a card has a device; a bond, bridge or veth
 * has none. A card in a bond has the bond's MAC, and its own as `perm_hwaddr`.
 */
function networkCards(): string[] {
  const names = existsSync(NETWORK_CARDS) ? readdirSync(NETWORK_CARDS) : [];
  const cards = names
    .map((name) => join(NETWORK_CARDS, name))
    .filter((path) => existsSync(join(path, 'device')));
  const macs = cards.map(
    (path) => read(join(path, 'bonding_slave/perm_hwaddr')) ?? read(join(path, 'address')) ?? '',
  );
  return [...new Set(macs.map((mac) => mac.toLowerCase()))].filter((mac) => !UNSET_MACS.includes(mac)).sort();
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}
