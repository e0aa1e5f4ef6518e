import type { ServingReport } from '../../cni/agent/dataplane/service-report.ts';
import { DEFAULT_AGENT } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';

/**
 * Returns what the agent of this node tells at `/services` or below it.
 * @param name `namespace/name`; undefined: all
 * @throws CommandError when no agent tells, Services are off, or there is no such Service
 */
export async function askServices<T extends ServingReport>(
  { world, settings }: Context,
  name?: string,
): Promise<T> {
  const socket = settings.agent ?? DEFAULT_AGENT;
  if (socket === false)
    throw new CommandError(
      'Services are what the agent serves, and the configuration names none ("agent": false)',
      'Run it on a node whose agent runs.',
    );
  const reply = await world.askAgent(socket, name === undefined ? '/services' : `/services/${name}`);
  if (!reply)
    throw new CommandError(
      `no agent answers beside ${socket} on this node: what its bridge does with Services is not known`,
      'systemctl status cellnetd; journalctl -u cellnetd. Its metrics are served there by default (--metrics).',
    );
  const report = parse(reply.body);
  if (!report)
    throw new CommandError(
      `the agent beside ${socket} tells nothing of Services`,
      'It is of an older version, or its own socket for metrics is elsewhere: cnictl doctor.',
    );
  if (!report.served)
    throw new CommandError(
      `this node serves no Services: ${report.reason ?? 'its agent starts'}`,
      'Keys `services` and `kubeconfig` of the configuration: docs/services.md.',
    );
  if (reply.status === 200) return report as T;
  if (!report.known) throw new CommandError(NOT_KNOWN, 'Wait, or look at the log: journalctl -u cellnetd.');
  throw new CommandError(
    `Service '${name ?? ''}' is not known`,
    `${report.hint ? `${report.hint} ` : ''}Look for its name with \`cnictl service list\` or \`kubectl get services -A\`.`,
  );
}

const NOT_KNOWN = 'the agent has not had all Services from the API server yet';

/** Tells on stderr why the bridges may do something else than the report says. */
export function warnOfServing(context: Context, { known, bridges }: ServingReport): void {
  if (!known) context.warn(NOT_KNOWN);
  for (const { bridge, inPlace, failure } of bridges)
    if (failure !== null) context.warn(`bridge ${bridge} is not programmed: ${failure}`);
    else if (known && !inPlace) context.warn(`bridge ${bridge} is being brought up to date`);
}

function parse(body: string): (ServingReport & { readonly hint?: string }) | undefined {
  try {
    const report = JSON.parse(body) as Partial<ServingReport>;
    return typeof report.served === 'boolean' ? (report as ServingReport) : undefined;
  } catch {
    return undefined;
  }
}
