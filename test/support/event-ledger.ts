/** What a reader of the events alone knows of the blocks. */
import type { CellEvent, Happening } from '../../ipam/events/event.ts';
import { formatAddress, formatCidr } from '../../ipam/model/address.ts';
import { nodeOf, slotAddress, type Block, type Slot } from '../../ipam/model/block.ts';
import type { Keep } from '../../ipam/model/keep.ts';

/** The part of an address's state that events tell. */
export interface Told {
  readonly state: 'used' | 'kept';
  readonly node?: string;
  readonly containerId?: string;
  readonly ifname?: string;
  readonly pod?: string;
  readonly sequence?: number;
  readonly allocatedAt?: string;
  readonly keep?: string;
  readonly condemned?: string;
}

const iso = (ms: number): string => new Date(ms).toISOString();
const keepText = (keep: Keep | undefined): { keep?: string } =>
  keep
    ? {
        keep: [keep.rule, keep.forMs ?? null, keep.anyPod ?? false, iso(keep.since)].join(' '),
      }
    : {};

export class EventLedger {
  readonly blocks = new Map<string, string>();
  readonly addresses = new Map<string, Told>();

  take(events: readonly (Happening | CellEvent)[]): this {
    for (const event of events) this.#take(event);
    return this;
  }

  /** Throws where an event contradicts what was told before. */
  #take(event: Happening): void {
    const { type, ip, block, node } = event;
    const must = (holds: boolean): void => {
      if (!holds)
        throw new Error(`${JSON.stringify(event)} after ${JSON.stringify(this.addresses.get(ip ?? ''))}`);
    };
    const before = this.addresses.get(ip ?? '');
    // The others are not of blocks and addresses.
    // eslint-disable-next-line @typescript-eslint/switch-exhaustiveness-check
    switch (type) {
      case 'block-claimed':
        must(!this.blocks.has(block ?? ''));
        this.blocks.set(block ?? '', node ?? '');
        break;
      case 'block-moved':
        must(this.blocks.get(block ?? '') === event.fromNode);
        this.blocks.set(block ?? '', node ?? '');
        break;
      case 'block-returned':
        this.blocks.delete(block ?? '');
        break;
      case 'assigned':
        must(before?.state !== 'used');
        this.addresses.set(ip ?? '', { state: 'used', ...named(event), ...keepOf(event) });
        break;
      case 'released':
        must(before !== undefined);
        this.addresses.delete(ip ?? '');
        break;
      case 'kept':
        this.addresses.set(ip ?? '', { state: 'kept', pod: podOf(event), ...keepOf(event) });
        break;
      case 'moved':
        must(before?.node === event.fromNode);
        this.addresses.set(ip ?? '', { ...before, state: 'used', node: node ?? '' });
        break;
      case 'keep-changed': {
        const { keep: _, ...rest } = before ?? { state: 'used' as const };
        this.addresses.set(ip ?? '', { ...rest, ...keepOf(event) });
        break;
      }
      case 'condemned':
        must(before?.state === 'used');
        this.addresses.set(ip ?? '', {
          ...before,
          state: 'used',
          condemned: `${event.at ?? ''} ${event.by ?? ''} ${event.reason ?? ''}`,
        });
        break;
      case 'pardoned': {
        const { condemned: _, ...rest } = before ?? { state: 'used' as const };
        this.addresses.set(ip ?? '', rest);
        break;
      }
    }
  }
}

const podOf = ({ pod, ifname }: Happening): string =>
  `${pod?.namespace ?? ''}/${pod?.name ?? ''} ${ifname ?? ''}`;

const keepOf = ({ keep }: Happening): { keep?: string } =>
  keep ? { keep: [keep.rule, keep.forMs, keep.anyPod, keep.since].join(' ') } : {};

const named = ({ node, containerId, ifname, sequence, allocatedAt }: Happening): Omit<Told, 'state'> => ({
  node: node ?? '',
  containerId: containerId ?? '',
  ifname: ifname ?? '',
  ...(sequence !== undefined && { sequence }),
  ...(allocatedAt !== undefined && { allocatedAt }),
});

/** Returns what events should have told of blocks. */
export function toldOf(blocks: readonly Block[]): EventLedger {
  const ledger = new EventLedger();
  for (const block of blocks) {
    ledger.blocks.set(formatCidr(block.cidr), block.node);
    block.slots.forEach((slot, i) => {
      const told = toldOfSlot(block, slot);
      if (told) ledger.addresses.set(formatAddress(slotAddress(block, i)), told);
    });
  }
  return ledger;
}

function toldOfSlot(block: Block, slot: Slot): Told | undefined {
  if (slot.state === 'kept') {
    const { namespace, name, ifname } = slot.pod;
    return { state: 'kept', pod: `${namespace}/${name} ${ifname}`, ...keepText(slot.keep) };
  }
  if (slot.state !== 'used') return undefined;
  const { owner, sequence, allocatedAt, condemned } = slot;
  return {
    ...{ state: 'used', node: nodeOf(block, slot), containerId: owner.containerId, ifname: owner.ifname },
    ...{ sequence, allocatedAt: iso(allocatedAt) },
    ...keepText(slot.keep),
    ...(condemned && { condemned: `${iso(condemned.at)} ${condemned.by} ${condemned.reason}` }),
  };
}
