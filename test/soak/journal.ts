/**
 * Records which pods had which addresses, outside cellnet: one line per start and end, in order.
 */
import { appendFileSync, readFileSync } from 'node:fs';

interface Line {
  readonly at: number;
  readonly event: 'up' | 'down';
  readonly ip: string;
  readonly containerId: string;
  readonly node: string;
}

export interface Overlap {
  readonly ip: string;
  readonly first: string;
  readonly second: string;
}

/**
 * A pod counts as up from the reply to its ADD until just before the first action that may end it.
 * So two pods that are up with one address at the same time have both been assigned it.
 */
export class Journal {
  readonly file: string;

  constructor(file: string) {
    this.file = file;
  }

  up(ip: string, containerId: string, node: string): void {
    this.#write({ at: Date.now(), event: 'up', ip, containerId, node });
  }

  down(ip: string, containerId: string, node: string): void {
    this.#write({ at: Date.now(), event: 'down', ip, containerId, node });
  }

  #write(line: Line): void {
    appendFileSync(this.file, `${JSON.stringify(line)}\n`);
  }

  /**
   * Returns every address that two pods had at the same time. Throws an Error for an end without a
   * start: the journal itself is then wrong.
   */
  overlaps(): { readonly lines: number; readonly overlaps: Overlap[] } {
    return findOverlaps(readFileSync(this.file, 'utf8'));
  }
}

export function findOverlaps(text: string): { readonly lines: number; readonly overlaps: Overlap[] } {
  const holders = new Map<string, Set<string>>();
  const overlaps: Overlap[] = [];
  const lines = text.split('\n').filter((line) => line !== '');
  for (const line of lines) {
    const { event, ip, containerId } = JSON.parse(line) as Line;
    const having = holders.get(ip) ?? new Set();
    holders.set(ip, having);
    if (event === 'down') {
      if (!having.delete(containerId))
        throw new Error(`the journal ends ${containerId} at ${ip}, which it never began`);
      continue;
    }
    for (const first of having) overlaps.push({ ip, first, second: containerId });
    having.add(containerId);
  }
  return { lines: lines.length, overlaps };
}
