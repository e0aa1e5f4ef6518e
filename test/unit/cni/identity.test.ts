import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostLinkName, hostMacOf } from '../../../cni/protocol/identity.ts';

test("the host's end: name and MAC follow from the attachment alone, and are its own", () => {
  const attachments = ['c1', 'c2'].flatMap((containerId) =>
    ['eth0', 'net1'].map((ifname) => ({ containerId, ifname })),
  );
  const macs = attachments.map(hostMacOf);
  assert.deepEqual(attachments.map(hostMacOf), macs);
  assert.equal(new Set(macs).size, 4);
  assert.equal(new Set(attachments.map(hostLinkName)).size, 4);
  // Unicast, locally administered, and above every MAC of a vendor.
  for (const mac of macs) assert.match(mac, /^fe(:[0-9a-f]{2}){5}$/);
});
