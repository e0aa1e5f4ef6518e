import type { Story, StoryStep } from '../../cni/dataplane/trace-story.ts';
import { formatAddress, type Address } from '../../ipam/model/address.ts';
import type { Cell } from '../render/cell.ts';
import type { Paint } from '../render/paint.ts';
import { renderFields, renderTable } from '../render/table.ts';
import { ANY_GATEWAY } from './trace-flow.ts';
import type { NodePod } from './trace-node.ts';
import { CLIENT_PORT, type TraceTarget } from './trace-target.ts';

/** What the bridge does with one packet. */
export interface TraceReport {
  readonly at: NodePod;
  readonly source: Address;
  readonly target: TraceTarget;
  /** The packet, as Open vSwitch was asked about it. */
  readonly flow: string;
  readonly story: Story;
  /** Ports that the packet leaves by, and the pod there. */
  readonly outputs: readonly { readonly port: string; readonly pod: string | undefined }[];
  readonly pods: readonly NodePod[];
}

export function traceJson(report: TraceReport): object {
  const { at, source, target, flow, story, outputs } = report;
  const { steps, outcome, endpoint, seenAs } = story;
  return {
    pod: at.name,
    bridge: at.bridge,
    port: at.pod.port,
    vlan: at.pod.vlan ?? null,
    protocol: target.protocol,
    source: formatAddress(source),
    destination: { address: formatAddress(target.address), port: target.port ?? null },
    steps,
    outcome,
    endpoint: endpoint
      ? {
          address: endpoint.address,
          port: endpoint.port ?? null,
          pod: podAt(report, endpoint.address) ?? null,
        }
      : null,
    seenAs: endpoint ? (seenAs ?? formatAddress(source)) : null,
    byGateway: isByGateway(report),
    mac: isByGateway(report) ? null : (story.mac ?? null),
    // To the gateway, whose MAC is not asked for, the bridge floods or sends to one of these.
    outputs: isByGateway(report) ? [] : outputs.map(({ port, pod }) => ({ port, pod: pod ?? null })),
    flow,
  };
}

export function renderTrace(report: TraceReport, paint: Paint): string {
  const { at, source, target, story } = report;
  const from = endText(formatAddress(source), target.port === undefined ? undefined : CLIENT_PORT);
  const to = endText(formatAddress(target.address), target.port);
  const what = target.protocol === 'icmp' ? 'ICMP echo' : target.protocol.toUpperCase();
  const vlan = at.pod.vlan === undefined ? 'no VLAN' : `VLAN ${at.pod.vlan}`;
  const head: [string, Cell][] = [
    ['Packet', `${what} ${from} -> ${to}`],
    ['Pod', `${at.name}, port ${at.pod.port} of ${at.bridge}, ${vlan}`],
  ];
  const steps = renderTable<StoryStep>(
    [
      { title: 'TABLE', value: ({ table }) => table },
      { title: 'THE PACKET IS', value: ({ text }) => text },
    ],
    story.steps,
    paint,
  );
  return [renderFields(head, paint), steps, renderFields(resultFields(report), paint)].join('\n');
}

function resultFields(report: TraceReport): [string, Cell][] {
  const { story, source } = report;
  const { endpoint, seenAs, isExample } = story;
  const pod = endpoint && podAt(report, endpoint.address);
  return [
    ...(endpoint
      ? ([
          [
            'Endpoint',
            `${endText(endpoint.address, endpoint.port)}${pod === undefined ? '' : ` (${pod})`}${isExample ? ', chosen by a hash of the connection' : ''}`,
          ],
          ['It sees', seenAs ?? formatAddress(source)],
        ] as [string, Cell][])
      : []),
    ['Result', resultText(report)],
  ];
}

function resultText(report: TraceReport): string {
  const { story, target, outputs } = report;
  switch (story.outcome) {
    case 'refused':
      return target.protocol === 'tcp'
        ? 'refused: the agent answers with a reset'
        : 'refused: the agent answers "port unreachable"';
    case 'dropped':
      return 'dropped, without an answer';
    case 'flooded':
    case 'forwarded':
      if (isByGateway(report))
        return "leaves to the pod's gateway, by the port where the bridge has learned its MAC";
      if (story.outcome === 'flooded')
        return `leaves to ${story.mac ?? '?'} by all ports of its VLAN: the bridge has not learned where that is`;
      return `leaves to ${story.mac ?? '?'} by ${outputs.map(outputText).join(', ')}`;
  }
}

const isByGateway = ({ story: { outcome, mac } }: TraceReport): boolean =>
  mac === ANY_GATEWAY && (outcome === 'flooded' || outcome === 'forwarded');

const outputText = ({ port, pod }: TraceReport['outputs'][number]): string =>
  pod === undefined ? port : `${port} (${pod})`;

const podAt = ({ pods }: TraceReport, address: string): string | undefined =>
  pods.find(({ pod }) => pod.addresses.some((each) => formatAddress(each) === address))?.name;

const endText = (address: string, port: number | undefined): string => {
  if (port === undefined) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
};
