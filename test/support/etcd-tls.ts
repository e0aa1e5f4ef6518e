/** Certificates for an etcd of a test, made with openssl. */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from './proc.ts';

export interface Certificates {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly serverArgs: string[];
}

/**
 * Makes a CA, a server certificate for `ip` and a client certificate: P-256 keys, valid for one
 * day.
 */
export const makeCertificates = async (dir: string, ip: string): Promise<Certificates> => {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  const file = (name: string): string => join(dir, name);
  const issue = async (name: string, extension: string): Promise<void> => {
    await writeFile(file(`${name}.ext`), extension);
    await must('openssl', [
      'req',
      ...key,
      '-keyout',
      file(`${name}.key`),
      '-out',
      file(`${name}.csr`),
      '-subj',
      `/CN=${name}`,
    ]);
    const by = ['-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '1'];
    await must('openssl', [
      'x509',
      '-req',
      '-in',
      file(`${name}.csr`),
      ...by,
      '-out',
      file(`${name}.crt`),
      '-extfile',
      file(`${name}.ext`),
    ]);
    await chmod(file(`${name}.key`), 0o600);
  };
  await must('openssl', [
    'req',
    '-x509',
    ...key,
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.crt'),
    '-subj',
    '/CN=cellnet test CA',
  ]);
  await issue('server', `subjectAltName=IP:${ip}\nextendedKeyUsage=serverAuth,clientAuth\n`);
  await issue('client', 'extendedKeyUsage=clientAuth\n');
  const server = ['--cert-file', file('server.crt'), '--key-file', file('server.key')];
  const trust = ['--client-cert-auth', '--trusted-ca-file', file('ca.crt')];
  return {
    caFile: file('ca.crt'),
    certFile: file('client.crt'),
    keyFile: file('client.key'),
    serverArgs: [...server, ...trust],
  };
};
