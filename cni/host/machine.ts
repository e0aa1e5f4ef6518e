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
 * Returns this machine. Reading the network cards of a node with hundreds of links takes
 * milliseconds, so the first process of a boot keeps the result in the state folder. A clone runs
 * in another boot and reads its own.
 * @throws CniError 4 for a CELLNET_MACHINE_ID of another form
 */
export function machineOf(env: Environment, stateDir: string): Machine {
  const id = env['CELLNET_MACHINE_ID'];
  if (id) return readMachine(checkId(id));
  const known = machines.get(stateDir);
  if (known) return known;
  const file = join(stateDir, 'machine.json');
  const { bootId } = readBoot();
  const machine = readKept(file, bootId) ?? readMachine(undefined);
  machines.set(stateDir, machine);
  try {
    withFolder(stateDir, () => {
      const beside = `${file}.${process.pid}.tmp`;
      writeFileSync(beside, JSON.stringify({ v: 1, bootId, ...machine }), { mode: 0o600 });
      renameSync(beside, file);
    });
  } catch {
    // The next process reads the network cards again.
  }
  return machine;
}

function checkId(id: string): string {
  if (isMachineId(id)) return id;
  throw new CniError('invalid-environment', `CELLNET_MACHINE_ID '${id}': expected ${MACHINE_ID_FORM}`);
}

function readKept(file: string, bootId: string): Machine | undefined {
  const text = read(file);
  if (text === undefined) return undefined;
  try {
    const kept = v.parse(machineRecord, JSON.parse(text));
    if (kept.bootId !== bootId) return undefined;
    const { id, productUuid, macs, machineId } = kept;
    return {
      id,
      ...(productUuid !== undefined && { productUuid }),
      macs,
      ...(machineId !== undefined && { machineId }),
    };
  } catch {
    return undefined;
  }
}

/**
 * Reads what tells this machine from a clone of it: the firmware's product UUID, the permanent MACs
 * of its network cards, and machine-id(5).
 * @param id names the machine instead, where nothing else tells it apart (`CELLNET_MACHINE_ID`)
 */
export function readMachine(id: string | undefined): Machine {
  if (id) return { id, macs: [], machineId: id };
  const productUuid = read('/sys/class/dmi/id/product_uuid')?.toLowerCase();
  const machineId = read('/etc/machine-id');
  const macs = networkCards();
  const text = JSON.stringify([productUuid ?? '', macs, machineId ?? '']);
  return {
    id: createHash('sha256').update(text).digest('hex').slice(0, 12),
    ...(productUuid !== undefined && { productUuid }),
    macs,
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
