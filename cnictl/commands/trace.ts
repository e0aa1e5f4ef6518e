import { parseTrace } from '../../cni/dataplane/trace.ts';
import { tellTrace } from '../../cni/dataplane/trace-story.ts';
import { DEFAULT_OVSDB } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { parsePodName } from './pod.ts';
import { destinationMac, flowText } from './trace-flow.ts';
import { interfaceOf, podsOfNode, type NodePod } from './trace-node.ts';
import { renderTrace, traceJson, type TraceReport } from './trace-report.ts';
import { parseTarget } from './trace-target.ts';

export interface TraceOptions {
  readonly raw?: boolean;
}

/**
 * `trace`: what the bridge does with a packet of a pod of this node. It sends none.
 * @throws CommandError for a pod that is not on this node, or another form of its name or the
 *   destination; OvsdbError where Open vSwitch cannot be asked
 */
export async function trace(
  context: Context,
  podText: string,
  destination: string,
  { raw = false }: TraceOptions,
): Promise<number> {
  const { namespace, name } = parsePodName(podText);
  const target = parseTarget(destination);
  const pods = await podsOfNode(context);
  const { at, source } = interfaceOf(pods, `${namespace}/${name}`, target.address);
  const neighbours = pods.filter(({ bridge }) => bridge === at.bridge).map(({ pod }) => pod);
  const flow = flowText(at.pod, source, destinationMac(at.pod, neighbours, target), target);
  const ask = (method: string, ...params: readonly string[]): Promise<string> =>
    context.world.askVswitchd(context.settings.ovsdb ?? DEFAULT_OVSDB, method, params);
  const text = await ask('ofproto/trace', at.bridge, flow, '--ct-next', 'trk,new');
  const traced = parseTrace(text);
  if (!traced && !raw)
    throw new CommandError('the answer of ovs-vswitchd is not understood', 'Look at it: --raw');
  if (raw || !traced) {
    context.print({ flow, raw: text }, () => text);
    return 0;
  }
  const ports = devicesIn(await ask('dpctl/show'), at.bridge);
  const outputs = traced.outputs.map((port) => outputOf(ports.get(port) ?? `port ${port}`, pods));
  const report: TraceReport = { at, source, target, flow, story: tellTrace(traced), outputs, pods };
  context.print(traceJson(report), () => renderTrace(report, context.paint));
  return 0;
}

/**
 * Returns the names of a datapath's ports by their numbers. A node has several datapaths only where
 * bridges of both types are on it; then the one that has the bridge counts.
 */
export function devicesIn(text: string, bridge: string): Map<number, string> {
  const datapaths = text
    .split(/^(?=\S)/m)
    .map((part) =>
      [...part.matchAll(/^ +port (\d+): (\S+)/gm)].map(([, n, name = '']) => [Number(n), name] as const),
    );
  const own = datapaths.find((ports) => ports.some(([, name]) => name === bridge));
  return new Map(own ?? datapaths.flat());
}

function outputOf(port: string, pods: readonly NodePod[]): TraceReport['outputs'][number] {
  return { port, pod: pods.find(({ pod }) => pod.port === port)?.name };
}
