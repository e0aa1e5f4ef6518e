import assert from 'node:assert/strict';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { openSwitch } from '../../../cni/host/switch.ts';
import { inspectBridge } from '../../../cni/ovsdb/bridges.ts';
import { OvsdbClient } from '../../../cni/ovsdb/client.ts';
import { newScope } from '../../support/netns.ts';
import { startOvs } from '../../support/ovs.ts';
import { must } from '../../support/proc.ts';
import { makeSelfSigned } from './world.ts';

suite('remotes over the network', () => {
  test('tcp, and ssl with certificates of both ends', async (t) => {
    const scope = newScope(t);
    const dir = await scope.tempDir();
    const file = (name: string): string => join(dir, name);
    await makeSelfSigned('test-ca', file('ca.key'), file('ca.pem'));
    for (const name of ['server', 'client']) {
      await must('openssl', [
        'req',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-subj',
        `/CN=${name}`,
        '-keyout',
        file(`${name}.key`),
        '-out',
        file(`${name}.csr`),
      ]);
      await must('openssl', [
        'x509',
        '-req',
        '-days',
        '1',
        '-in',
        file(`${name}.csr`),
        '-CA',
        file('ca.pem'),
        '-CAkey',
        file('ca.key'),
        '-CAcreateserial',
        '-out',
        file(`${name}.pem`),
      ]);
    }
    const port = 20_000 + (process.pid % 20_000);
    const ovs = scope.use(
      await startOvs({
        dir: file('ovs'),
        remotes: [`ptcp:${port}:127.0.0.1`, `pssl:${port + 1}:127.0.0.1`],
        databaseArgs: [
          `--private-key=${file('server.key')}`,
          `--certificate=${file('server.pem')}`,
          `--ca-cert=${file('ca.pem')}`,
        ],
      }),
    );
    await ovs.vsctl('--no-wait', 'add-br', 'br-n');
    const tls = { caFile: file('ca.pem'), certFile: file('client.pem'), keyFile: file('client.key') };
    for (const [remote, options] of [
      [`tcp:127.0.0.1:${port}`, {}],
      [`ssl:127.0.0.1:${port + 1}`, { tls }],
    ] as const) {
      const client = await OvsdbClient.connect(remote, options);
      assert.equal((await inspectBridge(client, 'br-n'))?.datapathType, 'system');
      client.close();
    }
    const address = { ovsdb: `ssl:127.0.0.1:${port + 1}`, ovsdbTls: tls };
    const opened = await openSwitch(address, performance.now() + 5_000);
    assert.equal((await opened.inspectBridge('br-n'))?.userspace, false);
    opened.close();
    await assert.rejects(
      OvsdbClient.connect(`ssl:127.0.0.1:${port + 1}`, { tls: { ...tls, caFile: file('client.pem') } }),
      { code: 'unreachable' },
    );
    await assert.rejects(OvsdbClient.connect(`ssl:127.0.0.1:${port + 1}`), {
      code: 'protocol',
      message: /needs a certificate/,
    });
  });
});
