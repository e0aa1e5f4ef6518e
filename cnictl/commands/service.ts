import type {
  FrontendRow,
  ServiceListReport,
  ServiceShowReport,
} from '../../cni/agent/dataplane/service-report.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import type { Paint } from '../render/paint.ts';
import { renderTable } from '../render/table.ts';
import { askServices, warnOfServing } from './agent-services.ts';
import { askConnections, countConnections } from './service-connections.ts';
import { affinityText, portText, renderRefusals, renderService, serviceJson } from './service-report.ts';

/**
 * `service list`: what the bridges of this node do with each Service.
 * @throws CommandError when no agent tells, or Services are off
 */
export async function serviceList(context: Context): Promise<number> {
  const report = await askServices<ServiceListReport>(context);
  const { known, bridges, frontends, refusals } = report;
  context.print({ known, bridges, services: frontends, refusals }, () => renderList(report, context.paint));
  warnOfServing(context, report);
  return 0;
}

/**
 * `service show`: one Service with all its endpoints, and the connections to them.
 * @throws CommandError for a name of another form, and as `service list`
 */
export async function serviceShow(context: Context, name: string): Promise<number> {
  if (!/^[A-Za-z0-9.-]+\/[A-Za-z0-9.-]+$/.test(name))
    throw new CommandError(`Service '${name}': expected NAMESPACE/NAME, such as default/kubernetes`);
  const report = await askServices<ServiceShowReport>(context, name);
  const connections = await askConnections(context);
  const counted = countConnections(report, connections);
  context.print(serviceJson(report, counted), () => renderService(report, counted, context.paint));
  warnOfServing(context, report);
  return 0;
}

function renderList({ frontends, refusals }: ServiceListReport, paint: Paint): string {
  const table = renderTable<FrontendRow>(
    [
      { title: 'SERVICE', value: ({ service }) => service },
      { title: 'KIND', value: ({ kind }) => kind },
      { title: 'ADDRESS', value: ({ address }) => address },
      { title: 'PORT', value: portText },
      { title: 'ENDPOINTS', value: ({ endpoints }) => String(endpoints), right: true },
      { title: 'LOCAL', value: ({ local }) => String(local), right: true },
      { title: 'AFFINITY', value: affinityText },
    ],
    frontends,
    paint,
  );
  return refusals.length === 0 ? table : `${table}\n${renderRefusals(refusals, paint)}`;
}
