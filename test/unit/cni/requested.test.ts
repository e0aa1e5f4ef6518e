import assert from 'node:assert/strict';
import { beforeEach, suite, test } from 'node:test';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { range } from '../ipam/world.ts';
import { CONFIG, reply, useFakeNode, type Reply } from './fake-platform.ts';

suite('what the runtime wishes', () => {
  const node = useFakeNode();
  beforeEach(async () => {
    await addRange(node.fake.world.ipam, range('fd00:20::/64', { name: 'six', vlan: 120 }));
  });
  const ask = async (more: object, args = 'IgnoreUnknown=1', plugin?: 'cellnet-ipam'): Promise<Reply> =>
    reply(await node.call({ CNI_ARGS: args }, more, plugin));
  const addresses = ({ ips, msg }: Reply): string[] | string => ips?.map((ip) => ip.address) ?? msg ?? '';
  const ipam = (families?: string[]): object => ({ ipam: { ...CONFIG.ipam, ...(families && { families }) } });

  suite('a requested address', () => {
    const places: [where: string, config: object, args: string][] = [
      ['runtimeConfig.ips', { runtimeConfig: { ips: ['10.20.1.7'] } }, ''],
      ['args.cni.ips', { args: { cni: { ips: ['10.20.1.7'] } } }, ''],
      ['CNI_ARGS IP', {}, 'IP=10.20.1.7'],
      [
        'the first of all three',
        { runtimeConfig: { ips: ['10.20.1.7'] }, args: { cni: { ips: ['10.20.1.8'] } } },
        'IP=10.20.1.9',
      ],
      [
        'the second where the first is empty',
        { runtimeConfig: { ips: [] }, args: { cni: { ips: ['10.20.1.7/22'] } } },
        'IP=10.20.1.9',
      ],
    ];
    for (const [where, config, args] of places) {
      for (const plugin of [undefined, 'cellnet-ipam'] as const) {
        test(`of ${where} is given by ${plugin ?? 'cellnet'}`, async () =>
          assert.deepEqual(addresses(await ask(config, args, plugin)), ['10.20.1.7/22']));
      }
    }

    test('of both families, where ipam.families says nothing', async () =>
      assert.deepEqual(addresses(await ask({}, 'IP=fd00:20::7,10.20.1.7')), [
        '10.20.1.7/22',
        'fd00:20::7/64',
      ]));
    test('of one family, the other is any', async () => {
      const reply = await ask({ ...ipam(['ipv4', 'ipv6']), runtimeConfig: { ips: ['fd00:20::7/64'] } });
      assert.equal(reply.ips?.length, 2);
      assert.equal(addresses(reply)[1], 'fd00:20::7/64');
    });

    const refusals: [what: string, ips: unknown, code: number, message: RegExp][] = [
      ['no address', ['blue'], 7, /^runtimeConfig\.ips is "blue": expected an IPv4 or IPv6 address/],
      ['no list', '10.20.1.7', 7, /'runtimeConfig\.ips' is "10\.20\.1\.7"/],
      ['two of a family', ['10.20.1.7', '10.20.1.8'], 7, /at most one IPv4 address/],
      ['the wrong length', ['10.20.1.7/24'], 7, /10\.20\.1\.7\/24 is of range 'blue': expected \/22/],
      ['outside every range', ['10.99.1.7'], 7, /10\.99\.1\.7 is in no range/],
      ['the gateway', ['10.20.0.1'], 7, /is reserved in range 'blue'/],
    ];
    for (const [what, ips, code, message] of refusals) {
      test(`that is ${what} is refused, and nothing is given`, async () => {
        const { code: found, msg } = await ask({ runtimeConfig: { ips } });
        assert.equal(found, code);
        assert.match(msg ?? '', message);
        assert.equal(node.fake.world.given().size, 0);
        assert.deepEqual(
          node.fake.calls.filter((name) => name === 'create-veth'),
          [],
        );
      });
    }

    test("that is another's is code 11 and names the pod", async () => {
      await node.call({}, { runtimeConfig: { ips: ['10.20.1.7'] } });
      const { code, msg } = reply(
        await node.call({ CNI_CONTAINERID: 'c2' }, { runtimeConfig: { ips: ['10.20.1.7'] } }),
      );
      assert.equal(code, 11);
      assert.match(msg ?? '', /10\.20\.1\.7 is given to pod shop\/web-1/);
    });

    test('of a family that the network does not have is refused', async () => {
      const { code, msg } = await ask({ ...ipam(['ipv4']), runtimeConfig: { ips: ['fd00:20::7'] } });
      assert.equal(code, 7);
      assert.match(msg ?? '', /fd00:20::7 is IPv6, but 'ipam.families' is \["ipv4"\]/);
    });
  });

  suite('a requested MAC', () => {
    const mac = ({ interfaces, msg }: Reply): string => interfaces?.[1]?.mac ?? msg ?? '';
    test('is the interface’s', async () =>
      assert.equal(mac(await ask({ runtimeConfig: { mac: 'C2:11:22:33:44:55' } })), 'c2:11:22:33:44:55'));
    test('may stand in CNI_ARGS', async () =>
      assert.equal(mac(await ask({}, 'MAC=c2:11:22:33:44:55')), 'c2:11:22:33:44:55'));
    for (const wrong of ['01:00:5e:00:00:01', '00:00:00:00:00:00', 'c2-11-22-33-44-55', 'c2:11:22:33:44']) {
      test(`that is ${wrong} is refused before anything is done`, async () => {
        const { code, msg } = await ask({ runtimeConfig: { mac: wrong } });
        assert.equal(code, 7);
        assert.match(msg ?? '', /^runtimeConfig\.mac is .*expected the MAC of one interface/);
        assert.deepEqual(node.fake.calls, []);
      });
    }
  });

  suite('a bandwidth', () => {
    for (const [bandwidth, expected] of [
      [{ ingressRate: 999 * 0.5 }, /bandwidth\.ingressRate is 499\.5: expected 1000 to/],
      [{ egressRate: 5e12 }, /bandwidth\.egressRate is 5000000000000: expected 1000 to/],
      [{ egressRate: -1 }, /bandwidth\.egressRate' is -1: expected 0 or more/],
      [{ egressRate: 'fast' }, /bandwidth\.egressRate'/],
    ] as const) {
      test(`of ${JSON.stringify(bandwidth)} is refused before anything is done`, async () => {
        const { code, msg } = await ask({ runtimeConfig: { bandwidth } });
        assert.equal(code, 7);
        assert.match(msg ?? '', expected);
        assert.deepEqual(node.fake.calls, []);
      });
    }
    test('of nothing is none', async () =>
      assert.equal((await ask({ runtimeConfig: { bandwidth: { ingressRate: 0 } } })).code, undefined));
  });

  test('port mappings are left to the chain', async () =>
    assert.equal((await ask({ runtimeConfig: { portMappings: [{ hostPort: 80 }] } })).code, undefined));
});
