import type {
  EndpointRow,
  FrontendRow,
  RefusalRow,
  ServiceShowReport,
} from '../../cni/agent/dataplane/service-report.ts';
import { painted } from '../render/cell.ts';
import type { Paint } from '../render/paint.ts';
import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';
import { renderFields, renderTable } from '../render/table.ts';
import type { CountedFrontend, CountedService } from './service-connections.ts';

export const serviceJson = (report: ServiceShowReport, counted: CountedService): object => {
  const { known, bridges, service, notServed, refusals } = report;
  const { reason: connectionsUnknown, frontends } = counted;
  return { service, known, bridges, notServed, connectionsUnknown, frontends, refusals };
};

export function renderService(report: ServiceShowReport, counted: CountedService, paint: Paint): string {
  const { service, notServed, refusals, bridges } = report;
  const fields = renderFields(
    [
      ['Service', service],
      ...(notServed === null ? [] : [['Not served', `it ${notServed}`] as const]),
      ...bridges.map((each) => ['Bridge', bridgeText(each)] as const),
      ...(counted.reason === null ? [] : [['Connections', `not known: ${counted.reason}`] as const]),
    ],
    paint,
  );
  return [
    fields,
    ...counted.frontends.map((frontend) => renderFrontend(frontend, paint)),
    ...(refusals.length === 0 ? [] : [renderRefusals(refusals, paint)]),
  ].join('\n');
}

const bridgeText = ({
  bridge,
  inPlace,
  flows,
  differences,
  failure,
}: ServiceShowReport['bridges'][number]): string =>
  [
    bridge,
    failure ?? (inPlace ? 'its program is in place' : 'its program is not in place yet'),
    ...(flows === null ? [] : [plural(flows, 'flow')]),
    ...(differences === 0 ? [] : [`changed by somebody else ${plural(differences, 'time')}`]),
  ].join(', ');

function renderFrontend(frontend: CountedFrontend, paint: Paint): string {
  const { kind, address, portName, takenBy, sourceRanges, rows, connections } = frontend;
  const title = [
    `${kind} ${address} port ${portText(frontend)}${portName === '' ? '' : ` (${portName})`}`,
    ...(frontend.affinitySeconds === null ? [] : [`affinity ${affinityText(frontend)}`]),
    ...(sourceRanges === null ? [] : [`only from ${sourceRanges.join(', ') || 'nowhere'}`]),
    ...(connections === null ? [] : [plural(connections, 'connection')]),
    ...(takenBy === null ? [] : [`served for ${takenBy} instead`]),
  ].join(', ');
  if (rows.length === 0)
    return `${paint.bold(printable(title))}\nno endpoint: connections are refused at once\n`;
  const table = renderTable<(typeof rows)[number]>(
    [
      { title: 'ENDPOINT', value: endText },
      { title: 'NODE', value: ({ node, local }) => `${node ?? '-'}${local ? ' (this one)' : ''}` },
      { title: 'STATE', value: ({ state }) => state },
      { title: 'CONNECTIONS', value: ({ connections: n }) => (n === null ? '-' : String(n)), right: true },
      {
        title: 'CHOSEN',
        value: ({ chosen, reason }) => (chosen ? painted(paint.green('yes')) : `no: ${reason ?? '?'}`),
      },
    ],
    rows,
    paint,
  );
  return `${paint.bold(printable(title))}\n${table}`;
}

const endText = ({ address, port }: Pick<EndpointRow, 'address' | 'port'>): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

export const portText = ({ protocol, port }: Pick<FrontendRow, 'protocol' | 'port'>): string =>
  `${port}/${protocol}`;

export const affinityText = ({ affinitySeconds }: FrontendRow): string =>
  affinitySeconds === null ? '-' : `ClientIP, ${affinitySeconds} s`;

export const renderRefusals = (refusals: readonly RefusalRow[], paint: Paint): string =>
  renderTable<RefusalRow>(
    [
      { title: 'SERVICE', value: ({ service }) => service },
      { title: 'NOT SERVED', value: ({ what }) => what },
      { title: 'REASON', value: ({ reason }) => reason },
    ],
    refusals,
    paint,
  );
