import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { SelfCheck } from '../../../../cni/agent/self-check.ts';
import { serviceManager } from '../../../../cni/host/notify.ts';

interface Started {
  readonly check: SelfCheck;
  readonly told: readonly string[];
  readonly logged: readonly string[];
  readonly waits: readonly number[];
}

const start = (ask: () => Promise<boolean>, watchdogMs: number | null = 30_000): Started => {
  const told: string[] = [];
  const logged: string[] = [];
  const waits: number[] = [];
  const note = (message: string): void => void logged.push(message);
  let restored = 0;
  const check = new SelfCheck({
    sockets: [
      { restore: () => Promise.reject(new Error('another agent answers')) },
      { restore: () => Promise.resolve(restored++ === 0) },
    ],
    ask,
    manager: { watchdogMs: watchdogMs ?? undefined, tell: (state) => void told.push(state) },
    log: { info: note, warn: note, error: note },
    effects: { schedule: (ms) => (waits.push(ms), { cancel: () => undefined }) },
  });
  return { check, told, logged, waits };
};

suite('the self-check of the agent', () => {
  test('tells the service manager when it is ready, alive and ending', async () => {
    const { check, told, waits } = start(() => Promise.resolve(true), 9_000);
    check.start();
    await check.look();
    check.stop();
    assert.deepEqual(told, ['READY=1', 'WATCHDOG=1', 'STOPPING=1']);
    assert.deepEqual(waits, [3_000]);
  });

  test('an agent that does not answer itself is not alive', async () => {
    const silent = start(() => Promise.resolve(false));
    await silent.check.look();
    const hung = start(() => Promise.reject(new Error('did not answer within 5 s')));
    await hung.check.look();
    assert.deepEqual([...silent.told, ...hung.told], []);
    assert.equal(silent.logged.at(-1), 'the agent does not answer itself');
  });

  test('makes each socket again, also when another cannot be; asks nothing without a watchdog', async () => {
    const { check, logged, told } = start(() => assert.fail('asked'), null);
    await check.look();
    assert.deepEqual(logged.slice(0, 2), [
      'a socket is gone, and cannot be made again',
      'a socket was gone, and is there again',
    ]);
    assert.deepEqual(told, []);
  });

  test('the watchdog of another process is none of ours', () => {
    const of = (env: object): number | undefined =>
      serviceManager({ NOTIFY_SOCKET: '/x', ...env })?.watchdogMs;
    assert.equal(of({ WATCHDOG_USEC: '30000000' }), 30_000);
    assert.equal(of({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: String(process.pid) }), 30_000);
    assert.equal(of({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' }), undefined);
    for (const us of ['', '0', 'x']) assert.equal(of({ WATCHDOG_USEC: us }), undefined);
    assert.equal(serviceManager({}), undefined);
  });
});
