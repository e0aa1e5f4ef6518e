/**
 * A wall clock of its own for some programs. The kernel has one wall clock for all namespaces, so
 * libfaketime (Debian's package faketime) stands between these programs and the C library. The
 * monotonic clock stays the kernel's.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export interface Clock {
  /** The environment of a program that goes by this clock. */
  readonly env: Readonly<Record<string, string>>;
  /** Sets the clock of running and later programs, in seconds from the machine's clock. */
  set(offsetSeconds: number): void;
}

/** Returns the library's path, which names the machine's architecture. */
const findLibrary = (): string => {
  const found = readdirSync('/usr/lib')
    .map((folder) => join('/usr/lib', folder, 'faketime/libfaketimeMT.so.1'))
    .find((file) => existsSync(file));
  if (found === undefined) throw new Error('libfaketime is missing: apt-get install faketime');
  return found;
};

/** @param dir holds the file that tells the offset */
export const makeClock = (dir: string): Clock => {
  const file = join(dir, 'offset');
  const set = (offsetSeconds: number): void =>
    writeFileSync(file, `${offsetSeconds < 0 ? '' : '+'}${offsetSeconds}\n`);
  set(0);
  return {
    env: {
      LD_PRELOAD: findLibrary(),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    },
    set,
  };
};
