/** Makes a plugin that fails at a chosen step, to see what a failure leaves behind. */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { REPOSITORY } from './cni.ts';

const LIB = join(REPOSITORY, 'dist/lib');

/** How the bundle of cni/main.ts ends. */
const START = 'runPlugin("cellnet");';

/**
 * Changes the plugin's platform. The environment selects the fault: FAULT_STEP=VERB/STEP,
 * FAULT_WHEN=before|after, FAULT_KIND=throw|kill.
 */
const FAULT = `(parts) => ({
  ...parts,
  onStep: (verb, step, when) => {
    const { FAULT_STEP, FAULT_WHEN, FAULT_KIND } = process.env;
    if (verb + '/' + step !== FAULT_STEP || when !== FAULT_WHEN) return;
    if (FAULT_KIND === 'kill') process.kill(process.pid, 'SIGKILL');
    throw new Error('fault ' + when + ' ' + verb + '/' + step);
  },
})`;

/**
 * Runs the bundle as the executables of dist/ do, with a cache of what V8 compiles, which the first
 * call that is not killed writes: tests make some two hundred calls.
 */
const launcher = (bundle: string): string => `#!${process.execPath}
'use strict';
const { readFileSync, renameSync, writeFileSync } = require('node:fs');
const { Script, constants } = require('node:vm');
const bundle = ${JSON.stringify(bundle)};
let cachedData;
try {
  cachedData = readFileSync(bundle + '.cache');
} catch {
  process.on('exit', () => {
    const own = bundle + '.cache.' + process.pid;
    writeFileSync(own, script.createCachedData());
    renameSync(own, bundle + '.cache');
  });
}
const importModuleDynamically = constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER;
const script = new Script(readFileSync(bundle, 'utf8'), { filename: bundle, cachedData, importModuleDynamically });
const lib = ${JSON.stringify(LIB)};
const requireInLib = require('node:module').createRequire(lib + '/cellnet.js');
script.runInThisContext()(exports, requireInLib, module, lib + '/cellnet.js', lib);
`;

/** Returns the path of an executable `cellnet` below `dir`: that of dist/, but for the fault. */
export const makeFaultyPlugin = async (dir: string): Promise<string> => {
  const text = await readFile(join(LIB, 'cellnet.js'), 'utf8');
  if (text.split(START).length !== 2) throw new Error(`dist/lib/cellnet.js: expected ${START} once`);
  const faulty = text.replace(START, () => `runPlugin("cellnet", ${FAULT});`);
  const bundle = join(dir, 'faulty-plugin.js');
  await writeFile(bundle, `(function (exports, require, module, __filename, __dirname) {${faulty}\n})`);
  const program = join(dir, 'cellnet');
  await writeFile(program, launcher(bundle));
  await chmod(program, 0o755);
  return program;
};
