/** Sends frames from a pod's interface, so that neighbours and switches learn the pod's MAC. */
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '../../ipam/model/errors.ts';
import { NetlinkError } from './errors.ts';
import { AF_PACKET, SOCK_NONBLOCK, SOCK_RAW } from './kernel.ts';
import { closeSocketAside, linkAddress, linkIndex, openSocket, sendTo } from './libc.ts';
import { inNamespace, type NetworkNamespace } from './netns.ts';

export interface AnnounceOptions {
  /** Number of rounds, at least 1. Each round sends every frame once. */
  readonly count: number;
  /** Milliseconds between rounds. */
  readonly intervalMs: number;
}

/** The link is gone (ENODEV, ENXIO) or down (ENETDOWN). */
const isPodGone = (error: unknown): boolean =>
  error instanceof NetlinkError && hasCode(error, 'ENODEV', 'ENXIO', 'ENETDOWN');

/** The link's queue is full: this frame is lost, a later one may pass. */
const isBusy = (error: unknown): boolean =>
  error instanceof NetlinkError && hasCode(error, 'ENOBUFS', 'EAGAIN');

const sendRound = (fd: number, to: Buffer, frames: readonly Buffer[], operation: string): void => {
  for (const frame of frames) {
    try {
      sendTo(fd, frame, to, operation);
    } catch (error) {
      if (!isBusy(error)) throw error;
    }
  }
};

/**
 * Sends every frame `count` times. Resolves after the last, or as soon as the pod or its link is
 * gone. The caller may close the namespace once this function has returned its promise. The socket
 * receives nothing (protocol 0). Closing it blocks, so this function closes it on another thread.
 * @throws NamespaceError; NetlinkError unless the pod or its link is gone
 */
export const announce = async (
  namespace: NetworkNamespace,
  link: string,
  frames: readonly Buffer[],
  { count, intervalMs }: AnnounceOptions,
): Promise<void> => {
  const operation = `announce on ${link}`;
  const fd = inNamespace(namespace, () => openSocket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0, operation));
  try {
    const to = linkAddress(linkIndex(fd, link));
    for (let round = 1; ; round++) {
      sendRound(fd, to, frames, operation);
      if (round >= count) return;
      await sleep(intervalMs);
    }
  } catch (error) {
    if (!isPodGone(error)) throw error;
  } finally {
    void closeSocketAside(fd);
  }
};
