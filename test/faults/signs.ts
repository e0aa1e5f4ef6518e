/** What an operator can see of a fault: the doctor's lines, the agent's health, metrics and log. */
import { httpGet } from '../support/prometheus.ts';
import type { Host } from './cluster.ts';
import { classOf } from './figures.ts';

/** A set of lines, such as `doctor: fail etcd alarms: NOSPACE of member …`. */
export type Signs = ReadonlySet<string>;

interface DoctorFinding {
  readonly level: string;
  readonly check: string;
  readonly detail: string;
}

/** Counters whose growth tells of a fault, and the gauge of deferred teardowns. */
const TELLING =
  /^(cellnet_(?:\w+_errors_total|etcd_set_backs_total|write_backs_total|pending_releases)\S*|cellnet_reconciles_total\{outcome="incomplete"\}) (\S+)$/gm;

/**
 * Collects everything that the node shows. Each line counts, whatever its cause.
 * @param meanwhile is awaited after the doctor: what the agent shows then includes it
 */
export async function signsOf(host: Host, meanwhile: Promise<void> = Promise.resolve()): Promise<Signs> {
  const [findings] = await Promise.all([doctor(host), meanwhile]);
  const [health, metrics] = await Promise.all([ask(host, '/healthz'), ask(host, '/metrics')]);
  const reasons = (JSON.parse(health ?? '{}') as { reasons?: string[] }).reasons ?? [];
  return new Set([
    ...findings.map(({ level, check, detail }) => `doctor: ${level} ${classOf(check)}: ${classOf(detail)}`),
    ...reasons.map((reason) => `healthz: ${classOf(reason.replace(/ since \S+: /, ': '))}`),
    ...[...(metrics ?? '').matchAll(TELLING)]
      .filter(([, , value]) => Number(value) > 0)
      .map(([, series]) => `metric: ${series ?? ''}`),
    ...logLines(host.log()).map((message) => `log: ${message}`),
  ]);
}

const doctor = async (host: Host): Promise<DoctorFinding[]> => {
  const { stdout, stderr } = await host.cnictl('doctor', '-o', 'json');
  if (stdout === '') throw new Error(`cnictl doctor on ${host.node.name} said nothing: ${stderr}`);
  const { findings } = JSON.parse(stdout) as { findings: DoctorFinding[] };
  return findings.filter(({ level }) => level !== 'ok');
};

/** Returns undefined when the agent does not answer. */
const ask = (host: Host, path: string): Promise<string | undefined> =>
  httpGet({ socketPath: host.agent.metricsSocket }, path).then(
    ({ body }) => body,
    () => undefined,
  );

const logLines = (log: string): string[] =>
  log
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map(
      (line) => JSON.parse(line) as { level: number | string; msg: string; reason?: string; what?: string },
    )
    .map(({ msg, reason, what }) => [msg, reason ?? what].filter((each) => each !== undefined).join(': '))
    .map(classOf);

/** Returns the first new line that matches, in the order in which an operator looks. */
export const findSign = (before: Signs, after: Signs, match: RegExp): string | undefined =>
  [...after].find((line) => !before.has(line) && match.test(line));
