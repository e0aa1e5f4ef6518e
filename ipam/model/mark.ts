import type { Effects } from './effects.ts';

/** Returns a random text for a record whose values must not repeat: 13 hex digits. */
export const newMark = ({ random }: Pick<Effects, 'random'>): string =>
  Math.floor(random() * 2 ** 52)
    .toString(16)
    .padStart(13, '0');
