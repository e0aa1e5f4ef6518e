import { nextCandidate, type Block, type Candidate } from '../../ipam/model/block.ts';

/** Returns every slot that can be assigned now, in the order in which they go. */
export function allCandidates(block: Block, now: number, cooldownMs: number): Candidate[] {
  const found: Candidate[] = [];
  const except = new Set<number>();
  for (;;) {
    const next = nextCandidate(block, now, cooldownMs, except);
    if (!next) return found;
    found.push(next);
    except.add(next.index);
  }
}
