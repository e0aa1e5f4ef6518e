import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import { omitIpNames, withoutIpName } from '../../../ipam/store/etcd/ip-names.ts';
import { makeCertificates } from '../../support/kube-api-tls.ts';

test('an address is no name of a TLS server', () => {
  for (const address of ['10.0.0.1', '::1', 'fe80::1%eth0']) {
    const host = address;
    assert.deepEqual(withoutIpName({ host, servername: address }), { host, servername: '' }, address);
    assert.deepEqual(withoutIpName({ servername: address }), { host, servername: '' }, address);
  }
  for (const options of [{ servername: 'etcd.example.org', host: '10.0.0.1' }, { host: '10.0.0.1' }, {}])
    assert.equal(withoutIpName(options), options);
});

test('the certificate is held to the address all the same', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'cellnet-ip-names-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const { caFile, serverCertFile, serverKeyFile } = makeCertificates(dir);
  const [ca, cert, key] = [caFile, serverCertFile, serverKeyFile].map((file) => readFileSync(file));
  const server = tls.createServer({ cert, key }, (socket) => socket.end()).listen(0, '0.0.0.0');
  t.after(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  omitIpNames();
  const ask = (host: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = tls.connect({ host, port, ca, servername: host }, () => resolve('authorized'));
      socket.once('error', (error: Error) => resolve(error.message));
      socket.once('end', () => socket.destroy());
    });
  assert.equal(await ask('127.0.0.1'), 'authorized');
  assert.match(await ask('127.0.0.2'), /does not match certificate's altnames/);
});
