import {
  cidrContains,
  parseAddress,
  parseAddressInSubnet,
  subnetOf,
  type Address,
} from '../../ipam/model/address.ts';
import { KubeError } from './errors.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** For URLs of the scheme. Like Go's programs, this reads the upper case first. */
const VARIABLES: Readonly<Record<string, readonly string[]>> = {
  'http:': ['HTTP_PROXY', 'http_proxy'],
  'https:': ['HTTPS_PROXY', 'https_proxy'],
};
const EXCEPTIONS = ['NO_PROXY', 'no_proxy'];
const SCHEMES = ['http:', 'https:', 'socks:', 'socks4:', 'socks4a:', 'socks5:', 'socks5h:'];
const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/**
 * Returns the proxy through which the environment sends requests to the server, by the rules of
 * kubectl (golang.org/x/net/http/httpproxy). Returns undefined when requests go directly: no
 * variable is set, NO_PROXY names the server, or the server is this host.
 * @throws KubeError `config` when the variable holds no proxy's URL
 */
export function proxyFor(server: string, env: Environment): string | undefined {
  const url = new URL(server);
  const variable = VARIABLES[url.protocol]?.find((name) => env[name]);
  if (variable === undefined || isDirect(url, env)) return undefined;
  return parseProxy(variable, env[variable] ?? '');
}

/** Accepts `HOST:PORT` for an HTTP proxy. The value may contain a password: no message shows it. */
function parseProxy(variable: string, value: string): string {
  const text = value.includes('://') ? value : `http://${value}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && SCHEMES.includes(url.protocol) && url.hostname !== '') return text;
  throw new KubeError(
    'config',
    `the environment variable ${variable} holds no proxy's URL: expected the form http://proxy.example:3128`,
    { remedy: `Correct ${variable}, or name the server in NO_PROXY.` },
  );
}

interface Host {
  /** In lower case, an IPv6 address without brackets. */
  readonly name: string;
  readonly port: string;
  /** Undefined when the name is no address. */
  readonly address: Address | undefined;
}

function isDirect(url: URL, env: Environment): boolean {
  const name = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const host = { name, port: url.port || (DEFAULT_PORTS[url.protocol] ?? ''), address: addressOf(name) };
  if (name === 'localhost' || isLoopback(host)) return true;
  const variable = EXCEPTIONS.find((each) => env[each]);
  const entries = (env[variable ?? ''] ?? '').split(',').map((entry) => entry.trim().toLowerCase());
  return entries.some((entry) => entry !== '' && excepts(entry, host));
}

function isLoopback({ address }: Host): boolean {
  if (!address) return false;
  return address.family === 4 ? address.value >> 24n === 127n : address.value === 1n;
}

/**
 * Returns whether the entry of NO_PROXY names the host: `*`, a subnet, an address or a domain, the
 * last two also with a port.
 */
function excepts(entry: string, host: Host): boolean {
  if (entry === '*') return true;
  if (entry.includes('/')) return isInSubnet(entry, host);
  const [, name = entry, port] = /^(\[.+\]|[^:]+):(\d+)$/.exec(entry) ?? [];
  if (port !== undefined && port !== host.port) return false;
  const address = addressOf(name.replace(/^\[|\]$/g, ''));
  if (address) return host.address?.family === address.family && host.address.value === address.value;
  const domain = name.replace(/^\*\./, '.');
  return host.name === domain || host.name.endsWith(domain.startsWith('.') ? domain : `.${domain}`);
}

function isInSubnet(text: string, host: Host): boolean {
  try {
    const { address, prefixLength } = parseAddressInSubnet(text);
    return host.address !== undefined && cidrContains(subnetOf(address, prefixLength), host.address);
  } catch {
    return false;
  }
}

function addressOf(text: string): Address | undefined {
  try {
    return parseAddress(text);
  } catch {
    return undefined;
  }
}
