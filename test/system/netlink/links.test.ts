import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { Departures } from '../../../cni/netlink/departures.ts';
import { NetlinkError } from '../../../cni/netlink/errors.ts';
import {
  createVeth,
  deleteLink,
  deleteLinkAside,
  deleteOwnedLink,
  getLink,
  listLinks,
  markLink,
} from '../../../cni/netlink/links.ts';
import { ALIAS, HOST_MAC, makeConnectedPair, makePair, MAC } from './pair.ts';

interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly address: string;
  readonly ifalias?: string;
  readonly linkinfo?: { readonly info_kind: string };
}

const ipLink = (json: string): IpLink => {
  const [link] = JSON.parse(json) as IpLink[];
  assert.ok(link);
  return link;
};

test('a veth is made with both ends named, placed and set', async (t) => {
  const { host, pod, socket, veth } = await makePair(t);
  const made = await createVeth(socket, veth);

  const hostEnd = ipLink(await host.exec('ip', '-j', '-d', 'link', 'show', veth.hostName));
  assert.equal(hostEnd.ifindex, made.index);
  assert.equal(hostEnd.address, made.mac);
  assert.equal(hostEnd.address, HOST_MAC);
  // NET_ADDR_SET of linux/netdevice.h, as udev reads it. A MAC that is NET_ADDR_RANDOM is udev's to
  // replace.
  const look = `mount -t sysfs sysfs /mnt && cat /mnt/class/net/${veth.hostName}/addr_assign_type`;
  assert.equal((await host.exec('unshare', '--mount', 'sh', '-c', look)).trim(), '3');
  assert.equal(hostEnd.mtu, 1400);
  assert.equal(hostEnd.ifalias, undefined, 'the mark comes when the port forwards');
  const marked = await markLink(socket, made.index, ALIAS);
  assert.deepEqual(marked, { ...(await getLink(socket, veth.hostName)) });
  assert.equal(marked.alias, ALIAS);
  assert.equal(hostEnd.linkinfo?.info_kind, 'veth');
  assert.ok(hostEnd.flags.includes('UP'));

  const podEnd = ipLink(await pod.exec('ip', '-j', 'link', 'show', 'eth0'));
  assert.equal(podEnd.ifindex, made.peerIndex);
  assert.equal(podEnd.address, MAC);
  assert.equal(podEnd.mtu, 1400);
  assert.ok(!podEnd.flags.includes('UP'), "the pod's end waits for its addresses");
});

test("the host's end has no IPv6, not even for a moment", async (t) => {
  const { host, socket, veth } = await makePair(t);
  const sysctl = `net.ipv6.conf.${veth.hostName}.disable_ipv6`;
  await createVeth(socket, veth);
  assert.equal((await host.exec('sysctl', '-n', sysctl)).trim(), '1');
  assert.equal(await host.exec('ip', '-6', 'address', 'show', 'dev', veth.hostName), '');
});

test('a link is read as it is', async (t) => {
  const { socket, veth } = await makeConnectedPair(t);
  const link = await getLink(socket, veth.hostName);
  assert.ok(link);
  const { alias, kind, mtu, up, carrier, name } = link;
  assert.deepEqual(
    { alias, kind, mtu, up, carrier, name },
    { alias: ALIAS, kind: 'veth', mtu: 1400, up: true, carrier: false, name: veth.hostName },
  );
  const listed = await listLinks(socket);
  assert.deepEqual(
    listed.map((each) => each.name),
    ['lo', veth.hostName],
  );
  assert.deepEqual(listed[1], link);
  assert.equal(await getLink(socket, 'none'), undefined);
});

test('a name that is taken is EEXIST, says which, and the link that has it is left alone', async (t) => {
  const { host, pod, socket, veth } = await makePair(t);
  await host.exec('ip', 'link', 'add', veth.hostName, 'type', 'veth');
  await assert.rejects(createVeth(socket, veth), {
    code: 'EEXIST',
    message: new RegExp(`a link ${veth.hostName} exists already`),
  });
  const foreign = ipLink(await host.exec('ip', '-j', '-d', 'link', 'show', veth.hostName));
  assert.equal(foreign.linkinfo?.info_kind, 'veth');
  assert.equal(foreign.ifalias, undefined);
  assert.ok(!foreign.flags.includes('UP'));

  await pod.exec('ip', 'link', 'add', 'eth0', 'type', 'veth');
  await assert.rejects(createVeth(socket, { ...veth, hostName: 'other' }), {
    code: 'EEXIST',
    message: /has a link eth0 already/,
  });
  assert.equal(await getLink(socket, 'other'), undefined);
});

test('a veth whose second step fails is removed again', async (t) => {
  const { pod, socket, veth } = await makePair(t);
  const unseen = async (requests: Parameters<typeof socket.attempt>[0]): Promise<never> => {
    const [created] = await socket.attempt(requests);
    return [created, { error: new NetlinkError(constants.errno.EIO, 'look up') }] as never;
  };
  await assert.rejects(createVeth(socket, veth, unseen), { code: 'EIO' });
  assert.equal(await getLink(socket, veth.hostName), undefined);
  assert.equal((await pod.run('ip', ['link', 'show', 'eth0'])).code, 1);
});

test('a mark that cannot be set, or a link that is gone, is an error', async (t) => {
  const { socket, veth } = await makePair(t);
  const { index } = await createVeth(socket, veth);
  await assert.rejects(markLink(socket, index, 'x'.repeat(300)), { code: /^E(RANGE|INVAL)$/ });
  await deleteLink(socket, { index });
  await assert.rejects(markLink(socket, index, ALIAS), { code: 'ENODEV' });
});

test('deleting twice is deleted, then absent; the other end goes, too', async (t) => {
  const { pod, socket, veth } = await makeConnectedPair(t);
  assert.equal(await deleteLink(socket, { name: veth.hostName }), 'deleted');
  assert.equal(await deleteLink(socket, { name: veth.hostName }), 'absent');
  assert.equal(await deleteLink(socket, { index: 999 }), 'absent');
  assert.equal((await pod.run('ip', ['link', 'show', 'eth0'])).code, 1);
});

test('only a link with our alias is deleted', async (t) => {
  const { host, socket, veth } = await makeConnectedPair(t);
  await assert.rejects(deleteOwnedLink(socket, veth.hostName, 'cellnet:another'), {
    name: 'NotOurLinkError',
    code: 'not-our-link',
    alias: ALIAS,
  });
  await host.exec('ip', 'link', 'add', 'plain', 'type', 'veth');
  await assert.rejects(deleteOwnedLink(socket, 'plain', ALIAS), { code: 'not-our-link' });
  assert.ok(await getLink(socket, 'plain'));
  assert.equal(await deleteOwnedLink(socket, veth.hostName, ALIAS), 'deleted');
  assert.equal(await deleteOwnedLink(socket, veth.hostName, ALIAS), 'absent');
});

test('what cannot be deleted is an error, not absent', async (t) => {
  const { socket } = await makePair(t);
  await assert.rejects(deleteLink(socket, { name: 'lo' }), { name: 'NetlinkError', code: 'ENOTSUP' });
});

test('a deletion under way ends as it does, when the socket that follows the links is replaced meanwhile', async () => {
  const departures = new Departures();
  const deleting = [deleteLinkAside(departures, { index: 0x7fff_fff0 }), departures.of(0x7fff_fff1)] as const;
  departures.close();
  deleting[1].cancel();
  departures.of(0x7fff_fff2).cancel();
  departures.close();
  assert.equal(await deleting[0], 'absent');
});
