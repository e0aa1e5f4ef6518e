import type { CellEvent } from './event.ts';

/** Which events somebody asks for. Absent: all. */
export interface EventFilter {
  /** Of the pod, or of the rule. */
  readonly namespace?: string;
  readonly range?: string;
  /** Of the attachment, the block, or before a move. */
  readonly node?: string;
}

/** Whether it is asked for. What concerns the stream itself always is. */
export function isWanted(event: CellEvent, { namespace, range, node }: EventFilter): boolean {
  if (event.type === 'gap' || event.type === 'synced' || event.type === 'set-back') return true;
  if (namespace !== undefined && event.pod?.namespace !== namespace) return false;
  if (range !== undefined && event.range !== range) return false;
  return node === undefined || event.node === node || event.fromNode === node;
}
