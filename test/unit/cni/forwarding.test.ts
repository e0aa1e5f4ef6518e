import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { findStandstill, standstillOf } from '../../../cni/attach/forwarding.ts';
import { judgeForwarding } from '../../../cnictl/doctor/forwarding.ts';
import type { BridgeFlows, BridgeInfo, Switch } from '../../../cni/platform/switch.ts';

const flows = (more: Partial<BridgeFlows> = {}): BridgeFlows => ({
  count: 0,
  outputs: false,
  toController: false,
  ...more,
});
const controller = (connected: boolean): Pick<BridgeInfo, 'controllers'> => ({
  controllers: [{ target: 'tcp:10.0.0.9:6653', connected }],
});
const PUNTS = flows({ count: 1, toController: true });

suite('whether a bridge forwards', () => {
  const cases: [what: string, info: object, flows: BridgeFlows | undefined, why: RegExp | undefined][] = [
    ['standalone, with the flow that it makes itself', {}, flows({ count: 1, outputs: true }), undefined],
    ['standalone, whose flows were deleted', {}, flows(), /^bridge 'br-a' forwards nothing: it has no flow$/],
    ['secure, without a flow', { secure: true }, flows(), /it has no flow \(fail_mode is secure\)$/],
    ['secure, with flows', { secure: true }, flows({ count: 2, outputs: true }), undefined],
    ['secure, all dropped', { secure: true }, flows({ count: 2 }), /none of its 2 flows outputs anything/],
    ['nobody can tell', { secure: true }, undefined, undefined],
    [
      'a connected controller without flows',
      controller(true),
      flows(),
      /no flow \(controller tcp:10\.0\.0\.9:6653 is connected\)/,
    ],
    ['a controller that gets each packet', controller(true), PUNTS, undefined],
    ['the same, away, standalone: vswitchd takes over', controller(false), PUNTS, undefined],
    [
      'the same, away, secure',
      { ...controller(false), secure: true },
      PUNTS,
      /fail_mode is secure, controller tcp:10\.0\.0\.9:6653 is not connected/,
    ],
  ];
  for (const [what, info, some, why] of cases)
    test(what, () => {
      const found = standstillOf('br-a', info, some);
      if (why) assert.match(found?.why ?? '', why);
      else assert.equal(found, undefined);
    });
});

suite('a bridge without a datapath', () => {
  const bare: BridgeInfo = { userspace: true, uplinkMtu: undefined, withoutDatapath: true };
  const made: BridgeInfo = { userspace: true, uplinkMtu: undefined };
  const look = async (served: boolean, later: BridgeInfo, absent = false): Promise<string | undefined> => {
    const ovs: Pick<Switch, 'inspectBridge' | 'isServed' | 'readFlows'> = {
      inspectBridge: () => Promise.resolve(later),
      isServed: () => Promise.resolve(served),
      readFlows: () => Promise.resolve(absent ? 'absent' : undefined),
    };
    return (await findStandstill(ovs, 'br-a', absent ? made : bare, 'unix:/db.sock'))?.why;
  };

  test('vswitchd runs and did not make it: its own trouble is named', async () =>
    assert.match((await look(true, bare)) ?? '', /runs, but could not make bridge 'br-a'/));

  test('a database that still has the number of a datapath from before', async () =>
    assert.match((await look(true, made, true)) ?? '', /could not make bridge 'br-a'/));

  test('vswitchd was about to make it', async () => assert.equal(await look(true, made), undefined));

  test('vswitchd does not run', async () =>
    assert.match((await look(false, bare)) ?? '', /unix:\/db\.sock says: does it run\?/));
});

suite('the doctor on what a bridge forwards', () => {
  const info: BridgeInfo = { userspace: true, uplinkMtu: undefined };
  test('by itself, by flows, by a controller, unknown', () => {
    assert.equal(judgeForwarding('br-a', info, true).level, 'ok');
    assert.equal(judgeForwarding('br-a', info, false).level, 'ok');
    assert.equal(judgeForwarding('br-a', { ...info, secure: true }, true).level, 'ok');
    assert.equal(judgeForwarding('br-a', { ...info, secure: true }, false).level, 'warn');
    const foreign = judgeForwarding('br-a', { ...info, ...controller(false) }, true);
    assert.equal(foreign.level, 'warn');
    assert.match(foreign.detail, /tcp:10\.0\.0\.9:6653 is not connected/);
  });
});
