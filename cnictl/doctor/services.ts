import type { BridgeReport, ServiceListReport } from '../../cni/agent/dataplane/service-report.ts';
import type { OvsdbClient } from '../../cni/ovsdb/client.ts';
import { asString } from '../../cni/ovsdb/protocol.ts';
import { DEFAULT_AGENT, type PartialSettings } from '../../ipam/settings/settings.ts';
import type { World } from '../context/world.ts';
import { plural } from '../render/plural.ts';
import { advise, fail, ok, warn, type Check, type Finding } from './finding.ts';

const CHECK = 'Services';
const NOBODY = 'pods reach no ClusterIP, and so no DNS, unless something else serves them';
const KEYS = 'Keys "services" and "kubeconfig" of the configuration: docs/services.md.';

/**
 * Returns the check of what the agent does with Services. An agent that does not answer has a line
 * of its own check; without an API server there are no Services.
 */
export function servicesCheck(
  world: Pick<World, 'askAgent'>,
  settings: PartialSettings,
  knowsKube: boolean,
  openOvsdb: () => Promise<OvsdbClient>,
): Check {
  return {
    name: CHECK,
    look: async () => {
      const socket = settings.agent ?? DEFAULT_AGENT;
      if (socket === false) return knowsKube ? [advise(CHECK, `no agent is used: ${NOBODY}`, KEYS)] : [];
      const reply = await world.askAgent(socket, '/services');
      const report = reply?.status === 200 ? parse(reply.body) : undefined;
      if (!report) return [];
      const lines = [...judgeServices(report, settings, knowsKube), ...report.bridges.map(judgeBridge)];
      if (report.served) return [...lines, ...judgeVersion(await readVersion(openOvsdb))];
      // Bridges that only limit pods have a line only when something is wrong.
      return lines.filter(({ check, level }) => check === CHECK || level === 'fail');
    },
  };
}

function parse(body: string): ServiceListReport | undefined {
  try {
    const report = JSON.parse(body) as Partial<ServiceListReport>;
    return typeof report.served === 'boolean' ? (report as ServiceListReport) : undefined;
  } catch {
    return undefined;
  }
}

export function judgeServices(
  { served, known, reason, frontends, refusals }: Omit<ServiceListReport, 'bridges'>,
  { services }: Pick<PartialSettings, 'services'>,
  knowsKube: boolean,
): Finding[] {
  if (!served) {
    const why = reason ?? 'the agent starts';
    if (services === true) return [fail(CHECK, `are not served: ${why}`, KEYS)];
    if (!knowsKube) return [];
    if (services === false) return [ok(CHECK, `off, as configured: ${NOBODY}`)];
    return [advise(CHECK, `are not served on this node: ${why}; ${NOBODY}`, KEYS)];
  }
  if (!known)
    return [
      warn(
        CHECK,
        'the agent has not had all Services from the API server yet; the bridges do what they did before',
        'Its log says why: journalctl -u cellnetd. It must be allowed to list and watch Services and EndpointSlices.',
      ),
    ];
  const names = new Set(frontends.map(({ service }) => service));
  const told = `${plural(names.size, 'Service')} served at ${plural(frontends.length, 'address and port', 'addresses and ports')}`;
  const [first] = refusals;
  if (!first) return [ok(CHECK, told)];
  return [
    advise(
      CHECK,
      `${told}; ${plural(refusals.length, 'refusal')}, such as ${first.what} of ${first.service}: ${first.reason}`,
      'All of them: cnictl service list',
    ),
  ];
}

export function judgeBridge({ bridge, inPlace, flows, differences, failure }: BridgeReport): Finding {
  const check = `program of ${bridge}`;
  if (failure !== null)
    return fail(
      check,
      `is not in place: ${failure}`,
      'The agent tries again each second. See the lines of Open vSwitch, and docs/operations/service-silent.md.',
    );
  if (!inPlace) return warn(check, 'is being brought up to date', 'Look again in a few seconds.');
  const told = flows === null ? 'in place' : `in place, ${plural(flows, 'flow')}`;
  if (differences === 0) return ok(check, told);
  return warn(
    check,
    `${told}; since the agent began somebody else changed its flows ${plural(differences, 'time')}, and it put them back`,
    `Find what does: ovs-vsctl get-controller ${bridge}, and scripts that call ovs-ofctl del-flows. Restart the agent to count again.`,
  );
}

/** ovs-ctl writes the version into the database as it starts Open vSwitch. */
async function readVersion(open: () => Promise<OvsdbClient>): Promise<string | undefined> {
  try {
    const client = await open();
    const select = { op: 'select', table: 'Open_vSwitch', where: [], columns: ['ovs_version'] } as const;
    const [found] = await client.transact([select]).finally(() => client.close());
    return asString(found?.rows?.[0]?.['ovs_version']);
  } catch {
    // A database that does not answer has a line of its own check.
    return undefined;
  }
}

/** Open vSwitch 3.1 was the first that an OpenFlow client can have flush single connections. */
export function judgeVersion(version: string | undefined): Finding[] {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  if (major === undefined || Number(major) * 1_000 + Number(minor) >= 3_001) return [];
  return [
    advise(
      'UDP of Services',
      `Open vSwitch ${version ?? ''} keeps UDP connections to endpoints that went until they are idle`,
      'Open vSwitch 3.1 or newer flushes them.',
    ),
  ];
}
