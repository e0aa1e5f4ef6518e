import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SilentEndpoints } from '../../ipam/store/etcd/endpoints.ts';
import { writeRecord } from './record-files.ts';

/**
 * How long a process that starts puts an endpoint last which did not answer, in milliseconds. Each
 * process without the agent would else meet again a member that hangs, at the price of its share of
 * a request's deadline. An endpoint that is put last is asked when the others do not answer.
 */
const PUT_LAST_MS = 600_000;
const FILE = 'silent-endpoints.json';

/** By endpoint, when it did not answer: milliseconds since the node's boot. */
type Noted = Readonly<Record<string, number>>;

/**
 * Returns the endpoints of etcd that lately did not answer a process of this node. They are in a
 * file of the state folder, which is only a hint: one that cannot be read is empty, and trouble to
 * write it is no error.
 * @param monotonic returns milliseconds since the node's boot, the same for every process
 */
export function silentEndpointsIn(stateDir: string, monotonic: () => number = sinceBoot): SilentEndpoints {
  const read = (): Noted => {
    const now = monotonic();
    return Object.fromEntries(
      // A time to come is of an earlier boot.
      Object.entries(parse(join(stateDir, FILE))).filter(([, at]) => at <= now && now - at < PUT_LAST_MS),
    );
  };
  return {
    list: () => Object.keys(read()),
    note: (endpoint, isSilent) => {
      const { [endpoint]: before, ...others } = read();
      if (!isSilent && before === undefined) return;
      try {
        writeRecord(stateDir, FILE, isSilent ? { ...others, [endpoint]: monotonic() } : others, false);
      } catch {
        // The next process meets the endpoint again.
      }
    },
  };
}

function parse(path: string): Noted {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return Object.fromEntries(
      Object.entries(value as object).filter((entry): entry is [string, number] => Number.isFinite(entry[1])),
    );
  } catch {
    return {};
  }
}

/** CLOCK_MONOTONIC (clock_gettime(2)), which all processes of a boot share. */
function sinceBoot(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}
