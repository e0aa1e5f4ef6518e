#!/usr/bin/env node
/**
 * Keeps an upstream of nginx in step with the pods of an application, by the events of cellnet:
 *
 *     nginx-upstream.mjs --namespace shop --pod 'web-*' --port 8080 --upstream web \
 *         --file /etc/nginx/conf.d/web-upstream.conf
 *
 * It begins with the addresses of now, writes the file when they change, and reloads nginx after
 * that alone. A file that nginx does not accept is taken back. README.md tells the rest.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    namespace: { type: 'string' },
    pod: { type: 'string', default: '*' },
    label: { type: 'string' },
    port: { type: 'string' },
    upstream: { type: 'string' },
    file: { type: 'string' },
    nginx: { type: 'string', default: 'nginx' },
    cnictl: { type: 'string', default: 'cnictl' },
    kubectl: { type: 'string', default: 'kubectl' },
  },
});
for (const name of ['namespace', 'port', 'upstream', 'file'])
  if (!options[name]) end(`expected --${name}`, 2);
if (!/^[1-9]\d{0,4}$/.test(options.port)) end(`--port '${options.port}': expected a number`, 2);

/** Changes that come within this time, in milliseconds, are one reload. */
const TOGETHER_MS = 300;
/** `*` stands for any characters. */
const podName = new RegExp(`^${options.pod.split('*').map(escape).join('.*')}$`);

/** The pod of each address of the upstream. */
const pods = new Map();
let isComplete = false;
let timer;

function escape(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function say(text) {
  process.stderr.write(`nginx-upstream: ${text}\n`);
}

function end(text, status) {
  say(text);
  process.exit(status);
}

/** Whether the pod is of the application. Its labels are asked of Kubernetes. */
function isWanted({ namespace, name }) {
  if (name === null || !podName.test(name)) return false;
  if (!options.label) return true;
  const words = ['get', 'pods', '--namespace', namespace, '--selector', options.label, '-o', 'name'];
  const more = ['--field-selector', `metadata.name=${name}`, '--request-timeout', '10s'];
  try {
    return execFileSync(options.kubectl, [...words, ...more], { encoding: 'utf8' }).trim() !== '';
  } catch (error) {
    return end(`Kubernetes does not tell the labels of ${namespace}/${name}: ${error.message}`, 1);
  }
}

function take({ type, ip, pod, complete }) {
  // What is missing here is not told again: systemd starts it anew, with the state of then.
  if (type === 'gap' && !complete) end('etcd has forgotten what was not read yet', 1);
  if (type === 'synced') isComplete = true;
  else if (type === 'assigned' && pod && isWanted(pod)) pods.set(ip, pod.name);
  else if (type !== 'released' && type !== 'kept') return;
  else if (!pods.delete(ip)) return;
  if (isComplete) timer ??= setTimeout(apply, TOGETHER_MS);
}

/** An upstream without servers is an error to nginx: with none that is up it answers 502. */
function textOfUpstream() {
  const servers = [...pods].sort().map(([ip, name]) => {
    const host = ip.includes(':') ? `[${ip}]` : ip;
    return `    server ${host}:${options.port}; # ${name}`;
  });
  const lines = servers.length > 0 ? servers : ['    server 127.0.0.1:1 down;'];
  return `# Written by nginx-upstream.mjs\nupstream ${options.upstream} {\n${lines.join('\n')}\n}\n`;
}

function replace(text) {
  writeFileSync(`${options.file}.new`, text, { mode: 0o644 });
  renameSync(`${options.file}.new`, options.file);
}

function apply() {
  timer = undefined;
  const before = existsSync(options.file) ? readFileSync(options.file, 'utf8') : undefined;
  const text = textOfUpstream();
  if (text === before) return;
  replace(text);
  try {
    const quiet = { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' };
    execFileSync(options.nginx, ['-t', '-q'], quiet);
    execFileSync(options.nginx, ['-s', 'reload'], quiet);
    say(`reloaded with ${pods.size} servers`);
  } catch (error) {
    if (before !== undefined) replace(before);
    end(`nginx does not take ${pods.size} servers: ${error.stderr || error.message}`, 1);
  }
}

const words = ['events', '--follow', '--initial', '--namespace', options.namespace, '-o', 'json'];
const events = spawn(options.cnictl, words, { stdio: ['ignore', 'pipe', 'inherit'] });
events.on('error', (error) => end(error.message, 1));
process.once('exit', () => events.kill());
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(0));

let rest = '';
for await (const part of events.stdout.setEncoding('utf8')) {
  const lines = (rest + part).split('\n');
  rest = lines.pop();
  for (const line of lines) take(JSON.parse(line));
}
end('cnictl events has ended', 1);
