import assert from 'node:assert/strict';
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { suite, test } from 'node:test';
import { CliWorld } from '../../golden/world.ts';
import { makeDist } from '../../support/dist.ts';

const REPLACEMENTS = 100;
/** Long enough that a reader can meet a file that is half written. */
const PROGRAM_BYTES = 200_000;
const ROUTES = 2_000;

/** The files that a runtime, a plugin or the agent reads at any moment. */
const FILES = {
  launcher: 'opt/cni/bin/cellnet',
  bundle: 'opt/cellnet/current/lib/cellnet.js',
  list: 'etc/cni/net.d/10-cell.conflist',
  shared: 'etc/cellnet/config.json',
} as const;
type Name = keyof typeof FILES;

interface Seen {
  readonly reads: number;
  /** The reads that found no file. */
  readonly absent: number;
  /** The reads of another content than those that the installer writes. */
  readonly other: number;
  readonly contents: number;
}

/** Reads in a loop until its standard input ends, and then prints what it has seen of each file. */
const READER = `
const { readFileSync } = require('node:fs');
const { createHash } = require('node:crypto');
const { files, known } = JSON.parse(process.argv[1]);
const seen = {};
for (const name of Object.keys(files)) seen[name] = { reads: 0, absent: 0, other: 0, contents: new Set() };
let ended = false;
process.stdin.on('end', () => { ended = true; }).resume();
const round = () => {
  for (const [name, file] of Object.entries(files)) {
    const of = seen[name];
    of.reads++;
    try {
      const digest = createHash('sha256').update(readFileSync(file)).digest('hex');
      if (known[name].includes(digest)) of.contents.add(digest);
      else of.other++;
    } catch {
      of.absent++;
    }
  }
  if (!ended) return setImmediate(round);
  for (const of of Object.values(seen)) of.contents = of.contents.size;
  process.stdout.write(JSON.stringify(seen));
};
process.stdout.write('reading\\n');
round();
`;

suite(`a reader beside ${REPLACEMENTS} replacements`, () => {
  test('finds every file, and each whole: launcher, bundle, network list, shared configuration', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'cellnet-readers-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const root = join(folder, 'root');
    mkdirSync(root);
    // Of three versions, one is always removed and copied again.
    const sources = ['a', 'b', 'c'].map((letter) => makeSource(join(folder, letter), letter));
    const world = new CliWorld();
    const install = async (round: number): Promise<void> => {
      const { dist, list, shared } = sources[round % sources.length] ?? assert.fail();
      world.dist = dist;
      const files = ['--conf-from', list, '--config-from', shared, '--node-name', 'node-1'];
      const { status, stderr } = await world.run([
        ...['node', 'install', '--root', root, '--no-systemd', '--replace-edited'],
        ...files,
      ]);
      assert.equal(status, 0, stderr);
    };
    const known: Record<Name, string[]> = { launcher: [], bundle: [], list: [], shared: [] };
    const paths = Object.fromEntries(Object.entries(FILES).map(([name, file]) => [name, join(root, file)]));
    for (const round of sources.keys()) {
      await install(round);
      for (const name of Object.keys(FILES) as Name[])
        known[name].push(
          createHash('sha256')
            .update(readFileSync(paths[name] ?? ''))
            .digest('hex'),
        );
    }
    for (const contents of Object.values(known)) assert.equal(new Set(contents).size, 3);

    const reader = startReader(JSON.stringify({ files: paths, known }));
    t.after(() => reader.child.kill('SIGKILL'));
    await reader.ready;
    for (let round = 0; round < REPLACEMENTS; round++) await install(round);
    reader.child.stdin.end();
    const seen = await reader.seen;
    for (const [name, { reads, absent, other, contents }] of Object.entries(seen)) {
      assert.deepEqual({ absent, other }, { absent: 0, other: 0 }, `${name}, of ${reads} reads`);
      assert.ok(reads > REPLACEMENTS && contents === 3, `${name}: ${reads} reads, ${contents} contents`);
    }
  });
});

interface Source {
  readonly dist: string;
  readonly list: string;
  readonly shared: string;
}

/** Makes a dist/, a network list and a shared configuration, other ones for each letter. */
function makeSource(folder: string, letter: string): Source {
  const dist = makeDist(folder);
  for (const file of ['bin/cellnet', 'lib/cellnet.js'])
    writeFileSync(join(dist, file), `#!/bin/sh\n#${letter.repeat(PROGRAM_BYTES)}\n`, { mode: 0o755 });
  const [list, shared] = [join(folder, 'list'), join(folder, 'config.json')];
  const routes = Array.from({ length: ROUTES }, () => ({ name: letter }));
  const plugins = [{ type: 'cellnet' }, { type: 'tuning', routes }];
  writeFileSync(list, JSON.stringify({ cniVersion: '1.0.0', name: 'cell', plugins }));
  const endpoints = Array.from({ length: ROUTES }, (_, i) => `http://${letter}${i}:2379`);
  writeFileSync(shared, JSON.stringify({ etcd: { endpoints } }));
  return { dist, list, shared };
}

function startReader(argument: string): {
  child: ChildProcessByStdio<Writable, Readable, null>;
  ready: Promise<void>;
  seen: Promise<Record<Name, Seen>>;
} {
  const child = spawn(process.execPath, ['-e', READER, argument], { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  const ready = new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if (text.includes('reading\n')) resolve();
    });
  });
  const seen = new Promise<Record<Name, Seen>>((resolve) =>
    child.once('close', () => resolve(JSON.parse(text.slice('reading\n'.length)) as Record<Name, Seen>)),
  );
  return { child, ready, seen };
}
