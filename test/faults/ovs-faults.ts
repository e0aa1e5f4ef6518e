/** Faults of Open vSwitch on one node. */
import { sleep } from '../support/proc.ts';
import type { Ovs } from '../support/ovs.ts';
import type { FaultCluster } from './cluster.ts';
import type { Fault } from './fault.ts';

const RESTARTS = 3;
const BETWEEN_MS = 2_000;

const ovsOf = ({ hosts: [{ node }] }: FaultCluster): Ovs => node.ovs;

const fault = (
  told: Pick<Fault, 'name' | 'title' | 'done' | 'todo' | 'sign'>,
  begin: (ovs: Ovs) => Promise<void> | void,
  heal: (ovs: Ovs) => Promise<void> | void,
): Fault => ({
  ...told,
  group: 'Open vSwitch',
  hits: 'first node',
  begin: async (cluster) => begin(ovsOf(cluster)),
  heal: async (cluster) => heal(ovsOf(cluster)),
});

const restarts = (
  told: Pick<Fault, 'name' | 'title' | 'done' | 'todo' | 'sign'>,
  restart: (ovs: Ovs) => Promise<void>,
): Fault => ({
  ...fault(
    told,
    async (ovs) => {
      for (let i = 0; i < RESTARTS; i++) {
        await restart(ovs);
        await sleep(BETWEEN_MS);
      }
    },
    () => undefined,
  ),
  lastsMs: 0,
  isBrief: true,
});

const DATABASE_FAILS = /^healthz: ovsdb/;
const VSWITCHD_FAILS = /^(?:healthz: ovs-vswitchd|doctor: fail ovs-vswitchd)/;
const ERRORS_COUNTED = /^metric: cellnet_ovsdb_errors_total/;
const RESTART_IT = 'Restart it; `journalctl` and its log tell why it stopped.';

export const OVS_FAULTS: readonly Fault[] = [
  fault(
    {
      name: 'ovsdb-hung',
      title: 'ovsdb-server hung',
      done: 'ovsdb-server was stopped (SIGSTOP), and later went on.',
      todo: 'Restart ovsdb-server; look at its disk and memory.',
      sign: DATABASE_FAILS,
    },
    (ovs) => ovs.pauseDatabase(),
    (ovs) => ovs.resumeDatabase(),
  ),
  fault(
    {
      name: 'ovsdb-killed',
      title: 'ovsdb-server killed',
      done: 'ovsdb-server was killed and later started again.',
      todo: RESTART_IT,
      sign: DATABASE_FAILS,
    },
    (ovs) => ovs.killDatabase(),
    (ovs) => ovs.startDatabase(),
  ),
  restarts(
    {
      name: 'ovsdb-restarted',
      title: 'ovsdb-server restarted',
      done: 'ovsdb-server was restarted three times, 2 s after each other.',
      todo: 'Nothing.',
      sign: ERRORS_COUNTED,
    },
    (ovs) => ovs.restartDatabase(),
  ),
  fault(
    {
      name: 'vswitchd-hung',
      title: 'ovs-vswitchd hung',
      done: 'ovs-vswitchd was stopped (SIGSTOP), and later went on.',
      todo: RESTART_IT,
      sign: VSWITCHD_FAILS,
    },
    (ovs) => ovs.pauseVswitchd(),
    (ovs) => ovs.resumeVswitchd(),
  ),
  fault(
    {
      name: 'vswitchd-killed',
      title: 'ovs-vswitchd killed',
      done: 'ovs-vswitchd was killed and later started again.',
      todo: RESTART_IT,
      sign: VSWITCHD_FAILS,
    },
    (ovs) => ovs.killVswitchd(),
    (ovs) => ovs.startVswitchd(),
  ),
  restarts(
    {
      name: 'vswitchd-restarted',
      title: 'ovs-vswitchd restarted',
      done: 'ovs-vswitchd was restarted three times, 2 s after each other.',
      todo: 'Nothing.',
      sign: ERRORS_COUNTED,
    },
    (ovs) => ovs.restartVswitchd(),
  ),
];
