/** Captures packets with tcpdump on one interface and returns them as text lines. */
import { startDaemon, until, type Daemon } from './proc.ts';

export interface Capture {
  /** The packets so far, one line each, with the link-level header (tcpdump -e -n -tt). */
  lines(): string[];
  /**
   * Resolves with the first line that matches, past or future. Rejects with an Error that lists the
   * captured packets after `timeoutMs` (default 5,000).
   */
  waitFor(pattern: RegExp, timeoutMs?: number): Promise<string>;
  /** Stops the capture and returns all lines. A repeated call returns them again. */
  stop(): Promise<string[]>;
}

const packets = (daemon: Daemon): string[] =>
  daemon
    .output()
    .split('\n')
    .filter((line) => /^\d+\.\d+ /.test(line));

/**
 * Starts tcpdump and resolves once it captures packets.
 * Equivalent to: ip netns exec NETNS tcpdump -i LINK -e -n -tt -l --immediate-mode FILTER
 */
export const startCapture = async (netns: string, link: string, filter = ''): Promise<Capture> => {
  const options = ['-i', link, '-e', '-n', '-tt', '-l', '--immediate-mode', '-s', '256'];
  const daemon = await startDaemon(
    'tcpdump',
    [...options, ...filter.split(' ').filter((word) => word !== '')],
    (it) => it.output().includes('listening on'),
    { netns, timeoutMs: 5_000 },
  );
  return {
    lines: () => packets(daemon),
    waitFor: async (pattern, timeoutMs = 5_000) => {
      const find = (): string | undefined => packets(daemon).find((line) => pattern.test(line));
      try {
        return await until(`a packet like ${String(pattern)} on ${link}`, find, timeoutMs);
      } catch (error) {
        throw new Error(`${String(error)}; seen:\n${packets(daemon).join('\n') || 'nothing'}`, {
          cause: error,
        });
      }
    },
    stop: async () => {
      await daemon.stop();
      return packets(daemon);
    },
  };
};
