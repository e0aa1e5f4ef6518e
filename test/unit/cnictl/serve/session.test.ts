import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { digest, OPEN_ACCESS } from '../../../../cni/agent/metrics-access.ts';
import { Sessions } from '../../../../cnictl/serve/session.ts';

suite('sessions of browsers', () => {
  const access = { ...OPEN_ACCESS, token: digest('correct-horse') };
  const cookieOf = (header: string): string => header.split(';')[0] ?? '';

  test('last 12 hours, end with another token, and with another start of the server', () => {
    let now = 1_000;
    const sessions = new Sessions({ isSecure: false, now: () => now });
    const cookie = cookieOf(sessions.begin(access));
    assert.equal(sessions.isSignedIn(access, { cookie }), true);
    assert.equal(sessions.isSignedIn({ ...access, token: digest('another') }, { cookie }), false);
    assert.equal(new Sessions({ isSecure: false, now: () => now }).isSignedIn(access, { cookie }), false);
    now += 12 * 3_600_000 - 1;
    assert.equal(sessions.isSignedIn(access, { cookie }), true);
    now += 1;
    assert.equal(sessions.isSignedIn(access, { cookie }), false);
  });

  test('over TLS the cookie is for this host and TLS alone', () => {
    const sessions = new Sessions({ isSecure: true });
    const header = sessions.begin(access);
    assert.match(header, /^__Host-cellnet=.*; Path=\/; .*; SameSite=Strict; Secure$/);
    const plain = cookieOf(header).replace('__Host-', '');
    assert.equal(sessions.isSignedIn(access, { cookie: plain }), false);
    assert.equal(sessions.isSignedIn(access, { cookie: cookieOf(header) }), true);
  });
});
