import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import type { BridgeConnection } from '../../../../cni/agent/dataplane/bridge-connection.ts';
import { realFiles } from '../../../../cnictl/context/host-files.ts';
import {
  DEFAULT_BIN_DIR,
  DEFAULT_CONF,
  DEFAULT_LIB_DIR,
  DEFAULT_PROGRAM_DIR,
  manifestOf,
  Tree,
} from '../../../../cnictl/install/layout.ts';
import { EMPTY, parseManifest } from '../../../../cnictl/install/manifest.ts';
import { makeConflist } from '../../../../cnictl/install/network.ts';
import { planInstall, type Wanted } from '../../../../cnictl/install/plan.ts';
import { askService, type Service } from '../../../../cnictl/install/service.ts';
import { perform, type Step } from '../../../../cnictl/install/steps.ts';
import { makeUnit } from '../../../../cnictl/install/unit.ts';
import { planUninstall } from '../../../../cnictl/install/unplan.ts';
import { versionName } from '../../../../cnictl/install/versions.ts';
import { makeDist } from '../../../support/dist.ts';

const layout = {
  binDir: DEFAULT_BIN_DIR,
  libDir: DEFAULT_LIB_DIR,
  conf: DEFAULT_CONF,
  programDir: DEFAULT_PROGRAM_DIR,
};
const socket = '/run/cellnet/agent.sock';
const STOPPED: Service = { enabled: false, active: false, socket };
const RUNNING: Service = { enabled: true, active: true, socket };

function nameOf(step: Step, root: string): string {
  if (step.do === 'run') return step.argv.join(' ');
  if (step.do === 'clear-bridge') return `${step.do} ${step.bridge}`;
  return step.do === 'await-agent'
    ? `${step.do} ${step.socket}`
    : `${step.do} ${step.path.slice(root.length)}`;
}

/** A node that an installation takes for one where systemd runs. */
class Node {
  readonly folder = mkdtempSync(join(tmpdir(), 'cellnet-service-'));
  readonly tree = new Tree(join(this.folder, 'root'), realFiles);
  /** The commands that ran and the paths that changed, in order. */
  readonly done: string[] = [];
  fails = false;
  /** Bridges that have flows of cellnet. */
  bridges: readonly string[] = [];
  /** Pauses of a second before the agent answers. */
  answersAfter = 0;
  pauses = 0;

  constructor() {
    mkdirSync(this.tree.root);
  }

  wanted(mark: string, unit = makeUnit(layout)): Wanted {
    const from = makeDist(join(this.folder, 'dist'), mark);
    const conflist = makeConflist({ network: 'cell', bridge: undefined, cniVersion: '1.0.0' });
    return {
      layout,
      from,
      version: versionName(from, realFiles),
      conflist,
      unit,
      shared: undefined,
      replaceEdited: false,
      allowDowngrade: false,
      options: {},
    };
  }

  async install(wanted: Wanted, service: Service): Promise<string[]> {
    const file = this.tree.at(manifestOf(layout));
    const text = realFiles.read(file);
    const known = text === undefined ? EMPTY : parseManifest(text, file);
    await this.#carryOut(planInstall(wanted, known, this.tree, realFiles, service).steps);
    return this.done.splice(0);
  }

  async uninstall(service: Service): Promise<string[]> {
    const file = this.tree.at(manifestOf(layout));
    const known = parseManifest(realFiles.read(file) ?? '', file);
    await this.#carryOut(
      planUninstall(layout.libDir, known, this.tree, realFiles, service, {
        ...{ ovsdb: 'unix:/ovs', bridges: this.bridges, hasTable: false },
      }),
    );
    return this.done.splice(0);
  }

  async #carryOut(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      this.done.push(nameOf(step, this.tree.root));
      await perform(step, {
        files: realFiles,
        openBridge: () => Promise.resolve(cleared),
        exec: () => Promise.resolve({ status: this.fails ? 1 : 0, output: this.fails ? 'Job failed' : '' }),
        probeAgent: () => Promise.resolve({ answers: this.pauses >= this.answersAfter, health: undefined }),
        monotonic: () => this.pauses * 1_000,
        pause: () => Promise.resolve(void (this.pauses += 1)),
      });
    }
  }
}

/** A bridge on which nothing of cellnet is. */
const cleared: BridgeConnection = {
  bundle: () => Promise.resolve(),
  send: () => Promise.resolve(),
  countFlows: () => Promise.resolve(0),
  listMatches: () => Promise.resolve([]),
  listGroups: () => Promise.resolve([]),
  listMeters: () => Promise.resolve([]),
  close: () => undefined,
};

const ran = (done: readonly string[]): string[] => done.filter((each) => each.startsWith('systemctl'));

suite('the agent under systemd', () => {
  let node: Node;
  beforeEach(() => void (node = new Node()));
  afterEach(() => rmSync(node.folder, { recursive: true, force: true }));

  test('is made known, enabled and started, before the network is there', async () => {
    const done = await node.install(node.wanted('one'), STOPPED);
    assert.deepEqual(ran(done), [
      'systemctl daemon-reload',
      'systemctl enable cellnetd.service',
      'systemctl restart cellnetd.service',
    ]);
    assert.ok(done.indexOf('systemctl restart cellnetd.service') < done.indexOf(`write ${DEFAULT_CONF}`));
    assert.deepEqual(await node.install(node.wanted('one'), RUNNING), []);
  });

  test('an upgrade restarts it after the switch, and removes old versions after that', async () => {
    const first = node.wanted('one').version;
    for (const mark of ['one', 'two']) await node.install(node.wanted(mark), RUNNING);
    const done = await node.install(node.wanted('three'), RUNNING);
    assert.deepEqual(ran(done), ['systemctl restart cellnetd.service']);
    const at = (what: string): number => done.indexOf(what);
    assert.ok(at('link /opt/cellnet/current') < at('systemctl restart cellnetd.service'));
    assert.ok(at('systemctl restart cellnetd.service') < at(`remove /opt/cellnet/versions/${first}`));
  });

  test('one that was stopped is started again, one that was disabled enabled', async () => {
    const wanted = node.wanted('one');
    await node.install(wanted, STOPPED);
    assert.deepEqual(await node.install(wanted, { enabled: true, active: false, socket }), [
      'systemctl restart cellnetd.service',
      `await-agent ${socket}`,
    ]);
    assert.deepEqual(await node.install(wanted, { enabled: false, active: true, socket }), [
      'systemctl enable cellnetd.service',
    ]);
  });

  test('a new unit is read and the agent restarted with it', async () => {
    await node.install(node.wanted('one', `${makeUnit(layout)}# before\n`), RUNNING);
    const done = await node.install(node.wanted('one'), RUNNING);
    assert.deepEqual(ran(done), ['systemctl daemon-reload', 'systemctl restart cellnetd.service']);
    assert.deepEqual(await node.install(node.wanted('one'), RUNNING), []);
  });

  test('a restart that failed leaves a first node without a network, and is made up for', async () => {
    node.fails = true;
    await assert.rejects(
      node.install(node.wanted('one'), STOPPED),
      /'systemctl daemon-reload' failed: Job failed/,
    );
    assert.equal(realFiles.kind(node.tree.at(DEFAULT_CONF)), undefined);
    node.fails = false;
    node.done.length = 0;
    const done = await node.install(node.wanted('one'), RUNNING);
    assert.deepEqual(ran(done), ['systemctl daemon-reload', 'systemctl restart cellnetd.service']);
    assert.equal(realFiles.kind(node.tree.at(DEFAULT_CONF)), 'file');
  });

  test('answers before the network is there: one that loops leaves a node without one', async () => {
    node.answersAfter = 5;
    const done = await node.install(node.wanted('one'), STOPPED);
    const at = done.indexOf(`await-agent ${socket}`);
    assert.ok(at > done.indexOf('systemctl restart cellnetd.service'));
    assert.ok(at < done.indexOf(`write ${DEFAULT_CONF}`));
    assert.equal(node.pauses, 5);
    realFiles.remove(node.tree.at(DEFAULT_CONF));
    node.answersAfter = Infinity;
    await assert.rejects(
      node.install(node.wanted('one'), RUNNING),
      /agent does not answer at \/run\/cellnet\/agent\.sock 30 s after its start: a new network/,
    );
    assert.equal(realFiles.kind(node.tree.at(DEFAULT_CONF)), undefined);
  });

  test('goes with the installation, after the network; what it programmed goes once it is gone', async () => {
    await node.install(node.wanted('one'), STOPPED);
    node.bridges = ['br-cell'];
    const done = await node.uninstall(RUNNING);
    assert.deepEqual(done.slice(0, 5), [
      `remove ${DEFAULT_CONF}`,
      'systemctl disable --now cellnetd.service',
      'clear-bridge br-cell',
      'remove /etc/systemd/system/cellnetd.service',
      'systemctl daemon-reload',
    ]);
  });

  test('systemd is asked quietly', async () => {
    const asked: string[] = [];
    const service = await askService((argv) => {
      asked.push(argv.join(' '));
      return Promise.resolve({ status: argv.includes('is-active') ? 3 : 0, output: '' });
    }, socket);
    assert.deepEqual(service, { enabled: true, active: false, socket });
    assert.equal(asked[0], 'systemctl is-enabled --quiet cellnetd.service');
  });
});
