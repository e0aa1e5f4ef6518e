import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setLink, showLink, showLinks } from '../../../cni/netlink/link-messages.ts';
import { getLink, listLinks } from '../../../cni/netlink/links.ts';
import { attemptAside, attemptOnce, Rtnetlink } from '../../../cni/netlink/rtnetlink.ts';
import { newScope, scopedNamespace } from '../../support/netns.ts';
import { openScoped } from './pair.ts';

const makeSocket = async (t: Parameters<typeof newScope>[0]): Promise<Rtnetlink> => {
  const scope = newScope(t);
  const socket = Rtnetlink.open(openScoped(scope, (await scopedNamespace(scope, 'a')).path));
  scope.defer(() => socket.close());
  return socket;
};

test('requests sent together are answered in order', async (t) => {
  const socket = await makeSocket(t);
  const [lo, links, again] = await socket.request([
    showLink({ name: 'lo' }),
    showLinks(),
    showLink({ index: 1 }),
  ]);
  assert.equal(lo.name, 'lo');
  assert.deepEqual(links, [lo]);
  assert.deepEqual(again, lo);
  assert.deepEqual(await socket.request([]), []);
});

test('the first failure is thrown, the others are carried out all the same', async (t) => {
  const socket = await makeSocket(t);
  const failing = socket.request([
    showLink({ name: 'none' }),
    setLink({ name: 'lo' }, { mtu: 1 << 30 }),
    setLink({ name: 'lo' }, { mtu: 9000 }),
  ]);
  await assert.rejects(failing, { name: 'NetlinkError', code: 'ENODEV', operation: 'look up none' });
  assert.equal((await getLink(socket, 'lo'))?.mtu, 9000);
});

test('the kernel’s own explanation is in the error', async (t) => {
  const socket = await makeSocket(t);
  const [{ error }] = await socket.attempt([
    setLink({ name: 'lo' }, { mac: '00:00:00:00:00:00', mtu: 2 ** 31 }),
  ]);
  assert.equal(error?.kernelMessage, 'mtu less than device minimum');
  assert.match(error.message, /^set mac, mtu of lo: mtu less than device minimum \(EINVAL\)$/);
});

test('calls at once on one socket take turns', async (t) => {
  const socket = await makeSocket(t);
  const lists = await Promise.all(Array.from({ length: 50 }, () => listLinks(socket)));
  assert.ok(lists.every((links) => links.length === 1));
});

test('a request that is never answered ends at its deadline, and the socket goes on', async (t) => {
  const socket = await makeSocket(t);
  const NLM_F_REQUEST_WITHOUT_ACK = 1;
  const silent = { ...setLink({ name: 'lo' }, { mtu: 9000 }), flags: NLM_F_REQUEST_WITHOUT_ACK };
  const started = performance.now();
  const waiting = socket.request([silent], { deadlineMs: 60 });
  const queued = assert.rejects(
    socket.request([setLink({ name: 'lo' }, { mtu: 8000 })], { deadlineMs: 10 }),
    { code: 'ETIMEDOUT', operation: 'set mtu of lo' },
    'the wait for an earlier call counts',
  );
  await assert.rejects(waiting, { code: 'ETIMEDOUT', operation: 'set mtu of lo' });
  assert.ok(performance.now() - started < 1_000);
  await queued;
  assert.equal((await getLink(socket, 'lo'))?.mtu, 9000, 'what was given up before its turn is not sent');
});

test('closing ends what is under way', async (t) => {
  const socket = await makeSocket(t);
  const silent = { ...setLink({ name: 'lo' }, { mtu: 9000 }), flags: 1 };
  const waiting = assert.rejects(socket.request([silent]), { code: 'ECANCELED' });
  await new Promise((resolve) => setImmediate(resolve));
  socket.close();
  socket.close();
  await waiting;
  await assert.rejects(getLink(socket, 'lo'), { code: 'ECANCELED' });
});

test('sockets are closed for good: many in a row leave no descriptor', async () => {
  const { readdirSync } = await import('node:fs');
  const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 1_200; i++) {
    const socket = Rtnetlink.open();
    if (i % 100 === 0) await getLink(socket, 'lo');
    socket.close();
    if (i % 100 === 0) await settle();
  }
  await settle();
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('asked aside, more at once than there are threads or calls for them: each gets its own answer', async (t) => {
  const scope = newScope(t);
  const namespace = openScoped(scope, (await scopedNamespace(scope, 'a')).path);
  const asked = Array.from({ length: 400 }, (_, i) => showLink({ name: i % 2 === 0 ? 'lo' : `none${i}` }));
  const outcomes = await Promise.all(asked.map((request) => attemptAside(namespace, [request])));
  for (const [i, [outcome]] of outcomes.entries()) {
    if (i % 2 === 0) assert.equal('answer' in outcome && outcome.answer.name, 'lo');
    else assert.equal(outcome.error?.code, 'ENODEV');
  }
});

test('what an exchange that failed left unread is no answer to the next', async (t) => {
  const scope = newScope(t);
  const pod = await scopedNamespace(scope, 'a');
  await pod.exec('ip', 'link', 'add', 'only0', 'type', 'veth');
  const namespace = openScoped(scope, pod.path);
  const unreadable = { ...showLink({ name: 'lo' }), decode: (): never => assert.fail('unreadable') };
  await assert.rejects(attemptOnce(namespace, [unreadable, showLink({ name: 'only0' })]), /unreadable/);
  const [first, second] = await attemptOnce(namespace, [showLink({ name: 'lo' }), showLink({ name: 'lo' })]);
  assert.deepEqual(
    [first, second].map((outcome) => 'answer' in outcome && outcome.answer.name),
    ['lo', 'lo'],
  );
});

test('asked once, in the namespace that is meant', async (t) => {
  const scope = newScope(t);
  const pod = await scopedNamespace(scope, 'a');
  await pod.exec('ip', 'link', 'add', 'only0', 'type', 'veth');
  const [found, refused] = await attemptOnce(openScoped(scope, pod.path), [
    showLink({ name: 'only0' }),
    setLink({ name: 'none' }, { up: true }),
  ]);
  assert.equal('answer' in found && found.answer.name, 'only0');
  assert.equal(refused.error?.code, 'ENODEV');
});
