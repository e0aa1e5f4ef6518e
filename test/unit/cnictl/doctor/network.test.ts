import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileChecks, nodeProgramCheck } from '../../../../cnictl/doctor/node.ts';
import { realFiles } from '../../../../cnictl/context/host-files.ts';
import { EMPTY, formatManifest, sha256 } from '../../../../cnictl/install/manifest.ts';
import { makeConflist } from '../../../../cnictl/install/network.ts';

const CONF = '/etc/cni/net.d/10-cell.conflist';
const paths = {
  inPod: false,
  confDir: '/etc/cni/net.d',
  binDir: '/opt/cni/bin',
  stateDir: '/var/lib/cellnet',
};

/** Returns what the doctor says of the network when it has `text` and install wrote `written`. */
async function networkLine(text: string, written?: string): Promise<string> {
  const manifest =
    written === undefined ? undefined : formatManifest({ ...EMPTY, files: { [CONF]: [sha256(written)] } });
  const files = {
    ...realFiles,
    list: (folder: string) => (folder === paths.confDir ? ['10-cell.conflist'] : []),
    kind: () => 'file' as const,
    read: (path: string) =>
      path === CONF ? text : path === '/opt/cellnet/install.json' ? manifest : undefined,
  };
  const [check] = fileChecks(files, paths);
  const lines = (await check?.look()) ?? [];
  return lines.map(({ level, detail }) => `${level} ${detail}`)[0] ?? '';
}

test('a network that was edited since its installation is told, and is no fault', async () => {
  const list = makeConflist({ network: 'cell', bridge: undefined, cniVersion: '1.0.0' });
  const edited = makeConflist({ network: 'cell', bridge: 'br-x', cniVersion: '1.0.0' });
  assert.equal(await networkLine(list, list), `ok ${CONF}`);
  assert.equal(await networkLine(list), `ok ${CONF}`);
  assert.equal(
    await networkLine(edited, list),
    `ok ${CONF}, edited since node install wrote it: upgrades keep it`,
  );
});

test('the Node of services: its version and place, and whether it is still maintained', async () => {
  const look = async (now: string): Promise<unknown> =>
    await nodeProgramCheck({
      now: () => Date.parse(now),
      files: { ...realFiles, kind: (path) => (path === '/usr/bin/node' ? 'file' : undefined) },
      exec: () => Promise.resolve({ status: 0, output: 'v22.23.5\n' }),
    }).look();
  const line = { check: 'Node', level: 'ok', remedy: '' };
  assert.deepEqual(await look('2026-11-01'), [{ ...line, detail: '22.23.5 at /usr/bin/node' }]);
  const detail = '22.23.5 at /usr/bin/node, which its makers have not maintained since 2027-04-30';
  assert.deepEqual(await look('2027-05-02'), [{ ...line, detail }]);
});
