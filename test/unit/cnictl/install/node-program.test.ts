import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { realFiles } from '../../../../cnictl/context/host-files.ts';
import type { World } from '../../../../cnictl/context/world.ts';
import {
  agentEnvironment,
  checkNode,
  lookAtNode,
  supportEnd,
} from '../../../../cnictl/install/node-program.ts';

type Host = Pick<World, 'files' | 'exec' | 'now'>;

/**
 * A node with these programs (path → what `--version` prints; none: it cannot be run) and
 * this environment file.
 */
function hostWith(
  programs: Readonly<Record<string, string | undefined>>,
  environment?: string,
  now = '2026-01-01',
): Host {
  return {
    now: () => Date.parse(now),
    files: {
      ...realFiles,
      kind: (path) => (path in programs ? 'file' : undefined),
      read: (path) => (path === '/etc/default/cellnetd' ? environment : undefined),
    },
    exec: ([file = '']) => {
      const output = programs[file];
      return Promise.resolve({ status: output === undefined ? 127 : 0, output: `${output ?? ''}\n` });
    },
  };
}

suite('the Node of services', () => {
  for (const [what, programs, message] of [
    ["nvm's alone", { '/root/.nvm/versions/node/v22.1.0/bin/node': 'v22.1.0' }, /there is no Node in \/usr/],
    ["Debian's 18", { '/usr/bin/node': 'v18.19.0' }, /\/usr\/bin\/node is Node 18\.19\.0: expected 20 or/],
    ['one that does not run', { '/usr/bin/node': undefined }, /\/usr\/bin\/node cannot be run/],
    ['the first one counts', { '/usr/local/bin/node': 'v16.0.0', '/usr/bin/node': 'v22.1.0' }, /Node 16/],
  ] as const)
    test(`refused: ${what}`, async () => {
      await assert.rejects(checkNode(hostWith(programs), true), (error: Error & { remedy: string }) => {
        assert.match(error.message, message);
        assert.match(error.remedy, /ln -s/);
        return true;
      });
      await assert.rejects(checkNode(hostWith(programs), false), message);
    });

  test('a present and maintained one is no word worth', async () => {
    assert.deepEqual(await checkNode(hostWith({ '/usr/bin/node': 'v20.20.2' }), true), []);
  });

  test("the agent's own PATH serves the agent only", async () => {
    const host = hostWith({ '/opt/node/bin/node': 'v24.1.0' }, 'A=b\nPATH="/opt/node/bin:/usr/bin"\n');
    const { agentFault, pluginFault } = await lookAtNode(host);
    assert.equal(agentFault, undefined);
    assert.match(pluginFault ?? '', /there is no Node in/);
    assert.match((await checkNode(host, true)).join(), /calls that come while the agent is restarted fail/);
    await assert.rejects(checkNode(host, false), /there is no Node in/);
  });

  test('the environment file', () => {
    const text = "# CELLNET_NODE=no\nCELLNET_AGENT=/run/a.sock\n CELLNET_NODE='n 1' \n\nodd line\n";
    const { files } = hostWith({}, text);
    assert.deepEqual(agentEnvironment(files), { CELLNET_AGENT: '/run/a.sock', CELLNET_NODE: 'n 1' });
  });

  test('one that is no longer maintained is told', async () => {
    const notes = await checkNode(hostWith({ '/usr/bin/node': 'v20.20.2' }, undefined, '2026-05-01'), true);
    assert.match(notes.join(), /\/usr\/bin\/node is Node 20\.20\.2, which its makers have not maintained/);
    const now = Date.parse('2026-11-01');
    const ended = ['18.1.0', '20.1.0', '22.1.0', '24.1.0', '25.1.0', '26.1.0', '40.0.0'].filter(
      (version) => supportEnd(version, now) !== undefined,
    );
    assert.deepEqual(ended, ['20.1.0', '25.1.0']);
  });
});
