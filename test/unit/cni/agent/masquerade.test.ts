import assert from 'node:assert/strict';
import { beforeEach, suite, test } from 'node:test';
import { Masquerade, type ReadRanges } from '../../../../cni/agent/masquerade.ts';
import type { Nft } from '../../../../cni/nftables/nft.ts';
import { parseCidr } from '../../../../ipam/model/address.ts';

const OFF = 'the node does not masquerade what it forwards to pods any more';
const ON = 'the node masquerades what it forwards to pods';
const TROUBLE = 'the node cannot masquerade what it forwards to pods';
const RESTORED = 'somebody else removed or changed the table inet cellnet of nftables: it is put back';

/** A kernel's table, which is what was written last. */
class FakeNft implements Nft {
  table: string | undefined;
  trouble: string | undefined;
  writes = 0;

  remove(): void {
    this.table = undefined;
  }

  apply(commands: string): Promise<void> {
    if (this.trouble !== undefined) return Promise.reject(new Error(this.trouble));
    this.writes++;
    const [, , ...table] = commands.split('\n');
    this.table = table.join('\n') || undefined;
    return Promise.resolve();
  }

  listTable(): Promise<string | undefined> {
    if (this.trouble !== undefined) return Promise.reject(new Error(this.trouble));
    return Promise.resolve(this.table);
  }
}

suite('the agent masquerades what the node forwards', () => {
  let nft: FakeNft;
  let ranges: string[] | undefined;
  let logged: string[];
  let counted: string[];
  let timers: { ms: number; work: () => void }[];
  let masquerade: Masquerade;
  let inPlace: () => boolean | undefined;

  const read: ReadRanges = () =>
    ranges
      ? Promise.resolve(ranges.map((each) => parseCidr(each)))
      : Promise.reject(new Error('etcd is away'));

  beforeEach(() => {
    nft = new FakeNft();
    ranges = ['10.20.0.0/22', 'fd00:20::/64'];
    [logged, counted, timers] = [[], [], []];
    const log = (message: string): void => void logged.push(message);
    const metrics = {
      inPlace: () => undefined as boolean | undefined,
      restored: () => void counted.push('restored'),
      failed: () => void counted.push('failed'),
    };
    masquerade = new Masquerade({
      nft,
      metrics,
      log: { info: log, warn: log, error: log },
      effects: {
        schedule: (ms, work) => {
          const timer = { ms, work };
          timers.push(timer);
          return { cancel: () => (timers = timers.filter((each) => each !== timer)) };
        },
      },
    });
    inPlace = () => metrics.inPlace();
  });

  /** Everything here is a promise that has its value. */
  const done = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const on = async (): Promise<void> => {
    masquerade.apply(read);
    await done();
  };
  const tenSecondsLater = async (): Promise<void> => {
    const [timer] = timers.splice(0);
    assert.equal(timer?.ms, 10_000);
    timer.work();
    await done();
  };

  test('off: it looks once whether a table was left, and takes that away', async () => {
    masquerade.apply(undefined);
    await done();
    nft.table = 'left';
    masquerade.apply(undefined);
    await done();
    assert.equal(nft.table, 'left');
    assert.deepEqual([logged, timers, masquerade.report, inPlace()], [[], [], undefined, undefined]);
    await on();
    masquerade.apply(undefined);
    await done();
    assert.equal(nft.table, undefined);
    assert.deepEqual(logged, [ON, OFF]);
    assert.deepEqual([timers, masquerade.report], [[], undefined]);
    masquerade.apply(read);
    assert.deepEqual([inPlace(), masquerade.report?.reason], [false, 'the agent has not written it yet']);
  });

  test('off: a removal that failed is tried again', async () => {
    nft.table = 'left';
    const apply = nft.apply.bind(nft);
    nft.apply = () => Promise.reject(new Error('not permitted'));
    masquerade.apply(undefined);
    await done();
    await tenSecondsLater();
    nft.apply = apply;
    await tenSecondsLater();
    assert.equal(nft.table, undefined);
    assert.deepEqual(logged, ['the table inet cellnet of nftables is left', OFF]);
    assert.deepEqual(timers, []);
  });

  test('off: a table that cannot be removed is told', async () => {
    nft.table = 'left';
    nft.apply = () => Promise.reject(new Error('not permitted'));
    masquerade.apply(undefined);
    await done();
    assert.deepEqual(logged, ['the table inet cellnet of nftables is left']);
  });

  test('off: a node without nft hears nothing of it', async () => {
    nft.trouble = 'ENOENT';
    masquerade.apply(undefined);
    await done();
    assert.deepEqual([logged, counted], [[], []]);
  });

  test('on: written once, looked at every ten seconds', async () => {
    await on();
    assert.match(nft.table ?? '', /10\.20\.0\.0\/22/);
    await tenSecondsLater();
    await on();
    assert.equal(nft.writes, 1);
    assert.deepEqual(logged, [ON]);
    assert.deepEqual([masquerade.report, inPlace()], [{ ranges: 2, restored: 0 }, true]);
    assert.equal(timers.length, 1);
  });

  test('a table that somebody removed or changed is put back, told and counted', async () => {
    await on();
    for (const table of [undefined, 'another one']) {
      nft.table = table;
      await tenSecondsLater();
      assert.match(nft.table ?? '', /10\.20\.0\.0\/22/);
    }
    assert.deepEqual(logged, [ON, RESTORED, RESTORED]);
    assert.deepEqual(counted, ['restored', 'restored']);
    assert.equal(masquerade.report?.restored, 2);
  });

  test('new ranges are followed', async () => {
    await on();
    ranges = ['10.20.0.0/22', '10.30.0.0/22'];
    await tenSecondsLater();
    assert.match(nft.table ?? '', /10\.30\.0\.0\/22/);
    assert.deepEqual([logged, counted], [[ON, ON], []]);
  });

  test('without nft: told once, tried again, and well as soon as it is there', async () => {
    nft.trouble = 'the program nft cannot be started';
    await on();
    await tenSecondsLater();
    assert.deepEqual([logged, counted], [[TROUBLE], ['failed', 'failed']]);
    assert.equal(masquerade.report?.reason, nft.trouble);
    assert.equal(inPlace(), false);
    nft.trouble = undefined;
    await tenSecondsLater();
    assert.deepEqual([logged, inPlace()], [[TROUBLE, ON], true]);
  });

  test('ranges that were never read: what an earlier agent wrote stays', async () => {
    [ranges, nft.table] = [undefined, 'as it was'];
    await on();
    assert.equal(nft.table, 'as it was');
    assert.equal(masquerade.report?.reason, 'the ranges cannot be read: etcd is away');
  });

  test('while etcd is away, the ranges of before count', async () => {
    await on();
    ranges = undefined;
    nft.remove();
    await tenSecondsLater();
    assert.match(nft.table ?? '', /10\.20\.0\.0\/22/);
    assert.equal(inPlace(), true);
  });

  test('settings that come during a look count after it', async () => {
    masquerade.apply(read);
    masquerade.apply(undefined);
    await done();
    await done();
    assert.deepEqual([nft.table, timers], [undefined, []]);
  });

  test('when the agent ends, the table stays', async () => {
    await on();
    masquerade.close();
    masquerade.apply(undefined);
    await done();
    assert.ok(nft.table);
    assert.deepEqual(timers, []);
  });
});
