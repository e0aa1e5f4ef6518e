import type { AddedPod, SimulatedNode } from '../support/node.ts';
import { startPodProcess, type PodProcess } from '../support/pod-process.ts';
import type { Scope } from '../support/netns.ts';
import { chapter, expect, show, step } from './story.ts';

/** What the scene needs of the demo. */
export interface KeptScene {
  readonly a: SimulatedNode;
  readonly b: SimulatedNode;
  /** Adds a pod that the API server knows. */
  readonly addPod: (node: SimulatedNode, name: string) => Promise<AddedPod>;
  readonly delPod: (node: SimulatedNode, pod: AddedPod) => Promise<void>;
  readonly cnictl: (...args: string[]) => Promise<string>;
}

const PORT = 5432;

/** A database pod is deleted and made again on the other node, and has its address there. */
export async function keptAddress(scope: Scope, client: AddedPod, scene: KeptScene): Promise<void> {
  const { a, b, addPod, delPod, cnictl } = scene;
  chapter('A database keeps its address');
  await step('a rule says so', () =>
    cnictl('rule', 'add', 'databases', '--namespace', 'default', '--pod', 'db-*', '--keep', 'forever'),
  );
  const asking = inPod(scope, client);
  const serve = async (pod: AddedPod): Promise<PodProcess> => {
    const process = inPod(scope, pod);
    await process.serve('tcp', pod.ip, PORT, `db-0 (${pod.containerId.slice(0, 6)})`);
    return process;
  };
  const first = await step('db-0 runs on node-a, and web-1 is connected to it', async () => {
    const pod = await addPod(a, 'db-0');
    const server = await serve(pod);
    const { name } = await asking.ask('tcp', pod.ip, PORT);
    show(`web-1 to ${pod.ip}: ${name ?? 'no answer'}`);
    expect(name?.startsWith('db-0') === true, 'web-1 did not reach db-0');
    await server.stop();
    return pod;
  });
  await step('db-0 is deleted; its address is kept', async () => {
    await delPod(a, first);
    const shown = await cnictl('ip', 'show', first.ip);
    expect(/State: +kept/.test(shown), 'the address is not kept');
  });
  await step('db-0 is made again on node-b: the same address and MAC', async () => {
    const again = await addPod(b, 'db-0');
    show(`${again.ip} ${again.mac} on node-b; it was ${first.ip} ${first.mac} on node-a`);
    expect(again.ip === first.ip && again.mac === first.mac, 'db-0 has another address');
    const started = performance.now();
    await serve(again);
    const { name } = await asking.ask('tcp', again.ip, PORT);
    expect(name === `db-0 (${again.containerId.slice(0, 6)})`, `web-1 was answered by ${name ?? 'nobody'}`);
    show(`web-1 is connected again, ${Math.round(performance.now() - started)} ms after the ADD`);
    await delPod(b, again);
  });
  await step('the rule goes, and what it kept is free', () => cnictl('rule', 'remove', 'databases'));
}

function inPod(scope: Scope, { ns }: AddedPod): PodProcess {
  const process = startPodProcess(ns);
  scope.defer(() => process.stop());
  return process;
}
