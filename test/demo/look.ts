/** The demo's `cnictl serve`, and what goes on there while the demo is kept. */
import { OUR_PLUGINS } from '../support/cni.ts';
import type { Fabric } from '../support/fabric.ts';
import type { Scope } from '../support/netns.ts';
import type { AddedPod, SimulatedNode } from '../support/node.ts';
import { sleep, startDaemon } from '../support/proc.ts';
import { startRelay } from '../support/relay.ts';

const PORT = 9463;

/** Where to look, from a browser on this machine. */
export interface Look {
  /** The page, or the events where this version has no page. */
  readonly url: string;
  readonly events: string;
}

/** Starts `cnictl serve` in the fabric, and makes it reachable at this machine's loopback. */
export async function startLooking(scope: Scope, { ns, env }: Fabric): Promise<Look> {
  const words = ['serve', '--listen', `127.0.0.1:${PORT}`];
  const ready = (it: { output(): string }): boolean => /https?:\/\//.test(it.output());
  scope.use(await startDaemon(`${OUR_PLUGINS}/cnictl`, words, ready, { netns: ns.name, env }));
  const target = { netns: ns.name, host: '127.0.0.1', port: PORT };
  const { port } = scope.use(await startRelay(target, await scope.tempDir(), PORT));
  const base = `http://127.0.0.1:${port}`;
  const hasPage = await fetch(`${base}/`).then(
    ({ ok }) => ok,
    () => false,
  );
  return { url: hasPage ? `${base}/` : `${base}/events`, events: `${base}/events` };
}

const MOST_PODS = 6;
const PAUSE_MS = 1_500;

/** Adds and removes pods until it is stopped, so that there is something to see. */
export async function keepMoving(
  nodes: readonly SimulatedNode[],
  addPod: (node: SimulatedNode, name: string) => Promise<AddedPod>,
  delPod: (node: SimulatedNode, pod: AddedPod) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const stopped = aborted(signal);
  const living: (readonly [SimulatedNode, AddedPod])[] = [];
  for (let n = 0; !signal.aborted; n++) {
    const node = nodes[n % nodes.length];
    if (node) living.push([node, await addPod(node, `live-${n + 1}`)]);
    const [oldest] = living.length > MOST_PODS ? living.splice(0, 1) : [];
    if (oldest) await delPod(...oldest);
    await Promise.race([sleep(PAUSE_MS), stopped]);
  }
}

/** Resolves when the signal is aborted. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
    if (signal.aborted) resolve();
  });
