import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parse as parseYaml } from 'yaml';
import { yamlText, jsonText } from '../../../cnictl/render/data.ts';
import { safeFor } from '../../../cnictl/render/printable.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { CliWorld } from '../../golden/world.ts';

/** Sets colours and the title, ends a line, sets the direction: none may reach a terminal. */
const HOSTILE = 'x\u001b[31m\u001b]0;t\u0007\u009b2J\r\nEVIL\u007f\u202e\u2066';

/** Puts the hostile text wherever etcd and Kubernetes take any text. */
async function hostileWorld(): Promise<CliWorld> {
  const world = await CliWorld.make();
  const { store } = world.ipam;
  for (const { key, value } of [...store.entries.values()]) {
    if (!key.startsWith('blocks/')) continue;
    const block = JSON.parse(value) as { slots: ({ owner?: Record<string, string> } | null | string)[] };
    for (const slot of block.slots)
      if (slot !== null && typeof slot === 'object' && slot.owner)
        Object.assign(slot.owner, {
          podName: `${slot.owner['podName'] ?? 'p'}${HOSTILE}`,
          podUid: `u${HOSTILE}`,
          network: HOSTILE,
          bootId: HOSTILE,
        });
    await store.commit([], [put(key, JSON.stringify(block))]);
  }
  await store.commit(
    [],
    [
      put(`ranges/${HOSTILE}`, HOSTILE),
      put(`blocks/blue/${HOSTILE}`, HOSTILE),
      put(`nodes/node-1/${HOSTILE}`, HOSTILE),
      put(`machines/${HOSTILE}`, HOSTILE),
      put(`lost/${HOSTILE}`, HOSTILE),
      put(
        'cluster/set-back',
        JSON.stringify({ v: 1, at: '2026-01-01T03:00:00.000Z', node: HOSTILE, reason: HOSTILE }),
      ),
    ],
  );
  world.pods = [
    ...world.pods.map((pod) => ({ ...pod, name: `${pod.name}${HOSTILE}`, nodeName: HOSTILE })),
    world.pod(9, `lost${HOSTILE}`, { namespace: HOSTILE, podIPs: ['10.20.3.77'], uid: HOSTILE }),
    world.pod(8, `double${HOSTILE}`, { podIPs: ['10.20.3.77'], uid: HOSTILE }),
  ];
  world.nodes = [...world.nodes, { name: HOSTILE, uid: HOSTILE, ready: false }];
  world.agent = { answers: true, health: { ok: false, version: HOSTILE, reasons: [HOSTILE] } };
  world.etcd = { alarms: () => Promise.resolve([HOSTILE]) };
  return world;
}

const COMMANDS = [
  'range list',
  'range show blue',
  'block list',
  'ip list',
  'ip show 10.20.0.16',
  'ip history 10.20.0.16',
  'node list',
  'node show node-1',
  'node drain node-2',
  'node drain node-2 --dry-run',
  'node remove node-1 --dry-run',
  'status',
  'doctor',
  'check --grace 0',
  'check --grace 0 --release --yes --repair --wait 0',
  'release 10.20.0.16',
  'release 10.20.0.16 --yes --force --dry-run',
  'block return --dry-run --all --idle 0',
  'range drain blue',
  'backup /b',
];
/** Of what cnictl writes itself on a terminal: a line that it clears, and its colours. */
const OWN = /\r\u001b\[K|\u001b\[(?:0|1|2|31|32|33)m/g;
const RAW = /[\p{Cc}\p{Bidi_Control}]/u;

function refuseRaw(text: string, isTerminal: boolean, what: string): void {
  const left = isTerminal ? text.replaceAll(OWN, '') : text;
  for (const line of left.split('\n')) {
    assert.doesNotMatch(line, RAW, `${what}: ${JSON.stringify(line)}`);
    assert.doesNotMatch(line, /^EVIL/, what);
  }
  // A colour in a name is not one of ours.
  assert.doesNotMatch(text, /x\u001b\[31m/, what);
}

suite('names from etcd and Kubernetes with control characters', () => {
  for (const command of COMMANDS) {
    for (const isTerminal of [false, true]) {
      test(`${command}${isTerminal ? ', on a terminal' : ''}`, async () => {
        const world = await hostileWorld();
        world.isTerminal = isTerminal;
        world.showsProgress = isTerminal;
        const { stdout, stderr } = await world.run(command);
        refuseRaw(stdout, isTerminal, `stdout of ${command}`);
        refuseRaw(stderr, isTerminal, `stderr of ${command}`);
      });
    }
    test(`${command} as JSON and YAML: escaped, and the data is what it was`, async () => {
      const read = async (format: 'json' | 'yaml'): Promise<unknown> => {
        const { stdout, stderr } = await (await hostileWorld()).run(`${command} -o ${format}`);
        refuseRaw(stdout + stderr, false, `${command} -o ${format}`);
        if (stdout === '') return undefined;
        return format === 'json' ? JSON.parse(stdout) : parseYaml(stdout);
      };
      assert.deepEqual(await read('yaml'), await read('json'));
    });
  }

  test('JSON and YAML of any text read as that text', () => {
    for (const text of [
      HOSTILE,
      '',
      'plain',
      "it's",
      '\n',
      '- a: b',
      '\u2028',
      '😀\u001b',
      'a'.repeat(200) + HOSTILE,
    ]) {
      const data = { [text]: [text, { inner: text }] };
      assert.deepEqual(JSON.parse(jsonText(data, 2)), data);
      assert.deepEqual(parseYaml(yamlText(data)), data, JSON.stringify(text));
      refuseRaw(jsonText(data, 2) + yamlText(data), false, JSON.stringify(text));
    }
  });

  test('the last guard lets through only what cnictl writes itself', () => {
    const screen = { colours: true, clears: true };
    const line = '\r\u001b[K\u001b[32m█\u001b[0m 3 pods';
    assert.equal(safeFor(screen, line), line);
    assert.equal(safeFor({ ...screen, colours: false }, line), '\r\u001b[K\\u001b[32m█\\u001b[0m 3 pods');
    assert.equal(safeFor({ ...screen, clears: false }, '\r\u001b[K'), '\\r\\u001b[K');
    assert.equal(safeFor(screen, 'a\r\u001b[K\u001b[2J\u001b[5m'), 'a\\r\\u001b[K\\u001b[2J\\u001b[5m');
  });
});
