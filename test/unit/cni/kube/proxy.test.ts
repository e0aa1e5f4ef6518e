import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../../cni/kube/errors.ts';
import { proxyFor } from '../../../../cni/kube/proxy.ts';

const PROXY = 'http://proxy.example:3128';
const API = 'https://10.0.0.1:6443';

suite('the proxy of the environment', () => {
  const cases: [what: string, server: string, env: Record<string, string>, proxy: string | undefined][] = [
    ['no variable', API, {}, undefined],
    ['empty variable', API, { HTTPS_PROXY: '', https_proxy: '' }, undefined],
    ['HTTPS_PROXY', API, { HTTPS_PROXY: PROXY }, PROXY],
    ['https_proxy', API, { https_proxy: PROXY }, PROXY],
    ['the upper case first', API, { HTTPS_PROXY: PROXY, https_proxy: 'http://other:1' }, PROXY],
    ['HTTP_PROXY for https', API, { HTTP_PROXY: PROXY, http_proxy: PROXY }, undefined],
    ['http_proxy for http', 'http://api:8080', { http_proxy: PROXY, https_proxy: 'http://other:1' }, PROXY],
    ['no scheme', API, { HTTPS_PROXY: 'proxy.example:3128' }, PROXY],
    ['an address without scheme', API, { HTTPS_PROXY: '10.0.0.9:3128' }, 'http://10.0.0.9:3128'],
    ['user and password', API, { HTTPS_PROXY: 'http://me:pw@proxy:1' }, 'http://me:pw@proxy:1'],
    ['SOCKS', API, { HTTPS_PROXY: 'socks5://proxy:1080' }, 'socks5://proxy:1080'],
    ['the loopback', 'https://127.0.0.1:6443', { HTTPS_PROXY: PROXY }, undefined],
    ['the IPv6 loopback', 'https://[::1]:6443', { HTTPS_PROXY: PROXY }, undefined],
    ['localhost', 'https://localhost:6443', { HTTPS_PROXY: PROXY }, undefined],
  ];
  for (const [what, server, env, proxy] of cases) {
    test(`${what}: ${proxy ?? 'none'}`, () => assert.equal(proxyFor(server, env), proxy));
  }

  const exceptions: [list: string, server: string, direct: boolean][] = [
    ['*', API, true],
    ['10.0.0.1', API, true],
    ['10.0.0.1:6443', API, true],
    ['10.0.0.1:443', API, false],
    ['10.0.0.0/8', API, true],
    ['10.0.0.7/8', API, true],
    ['10.0.0.0/24 , 192.0.2.1', API, true],
    ['10.0.1.0/24', API, false],
    ['10.0.0.0/99', API, false],
    ['10.0.0.1', 'https://10.0.0.11:6443', false],
    ['fd00::/8', 'https://[fd00:0::1]:6443', true],
    ['FD00:0:0::1', 'https://[fd00::1]:6443', true],
    ['[fd00::1]:6443', 'https://[fd00::1]:6443', true],
    ['[fd00::1]:1', 'https://[fd00::1]:6443', false],
    ['example.com', 'https://example.com', true],
    ['example.com', 'https://api.EXAMPLE.com', true],
    ['example.com', 'https://anexample.com', false],
    ['.example.com', 'https://api.example.com', true],
    ['.example.com', 'https://example.com', false],
    ['*.example.com', 'https://api.example.com', true],
    ['*.example.com', 'https://example.com', false],
    ['example.com:443', 'https://example.com', true],
    ['example.com:6443', 'https://example.com', false],
    [',,', API, false],
  ];
  for (const [list, server, direct] of exceptions) {
    for (const variable of ['NO_PROXY', 'no_proxy']) {
      test(`${variable}='${list}': ${server} ${direct ? 'directly' : 'through the proxy'}`, () =>
        assert.equal(proxyFor(server, { HTTPS_PROXY: PROXY, [variable]: list }), direct ? undefined : PROXY));
    }
  }

  for (const value of ['ftp://me:secret@proxy:21', 'http://', '://', 'a b']) {
    test(`'${value}' is refused without showing it`, () =>
      assert.throws(
        () => proxyFor(API, { HTTPS_PROXY: value }),
        (error) =>
          error instanceof KubeError &&
          error.code === 'config' &&
          error.message.includes('HTTPS_PROXY') &&
          !error.message.includes('secret'),
      ));
  }
});
