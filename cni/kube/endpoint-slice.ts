import { isIP } from 'node:net';
import { asObject, asOptionalText, asText, DecodeError, type Intern } from './decode.ts';
import {
  eachOf,
  ipAddress,
  label,
  optionalBoolean,
  optionalObject,
  portName,
  portNumber,
  protocol,
  type Protocol,
} from './fields.ts';

/** What cellnet keeps of an EndpointSlice (discovery/v1). */
export interface EndpointSlice {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The Service, in the same namespace, that the endpoints belong to. */
  readonly service: string | undefined;
  /** Undefined: the endpoints are host names. */
  readonly family: 4 | 6 | undefined;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
}

export interface SlicePort {
  /** The name of the Service's port. Empty where it has none. */
  readonly name: string;
  readonly protocol: Protocol;
  /** Undefined: every port. */
  readonly port: number | undefined;
}

export interface SliceEndpoint {
  /** They are the same endpoint. kube-proxy uses the first only. */
  readonly addresses: readonly string[];
  readonly ready: boolean;
  /** As `ready`, except that a terminating pod may still serve. */
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly nodeName: string | undefined;
  readonly zone: string | undefined;
  /** The zones and nodes that should use this endpoint. Undefined: no hint, every one may. */
  readonly hintZones: readonly string[] | undefined;
  readonly hintNodes: readonly string[] | undefined;
  readonly podUid: string | undefined;
}

const SERVICE_LABEL = 'kubernetes.io/service-name';

/**
 * An absent condition means an unknown state, which discovery/v1 has consumers take for ready,
 * for serving as `ready` says, and for not terminating.
 * @throws DecodeError
 */
export function decodeEndpointSlice(value: unknown, intern: Intern): EndpointSlice {
  const slice = asObject(value, 'endpoint slice');
  const metadata = asObject(slice['metadata'], 'metadata');
  const service = label(metadata, SERVICE_LABEL);
  const family = decodeAddressType(slice['addressType']);
  return {
    namespace: intern(asText(metadata['namespace'], 'metadata.namespace')),
    name: asText(metadata['name'], 'metadata.name'),
    uid: asText(metadata['uid'], 'metadata.uid'),
    service: service === undefined || service === '' ? undefined : intern(service),
    family,
    ports: eachOf(slice['ports'], 'ports', (port, path) => decodePort(port, path, intern)),
    endpoints: eachOf(slice['endpoints'], 'endpoints', (endpoint, path) =>
      decodeEndpoint(endpoint, path, family, intern),
    ),
  };
}

function decodeAddressType(value: unknown): 4 | 6 | undefined {
  switch (asText(value, 'addressType')) {
    case 'IPv4':
      return 4;
    case 'IPv6':
      return 6;
    case 'FQDN':
      return undefined;
    default:
      throw new DecodeError('addressType', 'IPv4, IPv6 or FQDN', value);
  }
}

function decodePort(value: unknown, path: string, intern: Intern): SlicePort {
  const port = asObject(value, path);
  const number = port['port'];
  return {
    name: portName(port['name'], `${path}.name`, intern),
    protocol: protocol(port['protocol'], `${path}.protocol`),
    port: number === undefined || number === null ? undefined : portNumber(number, `${path}.port`),
  };
}

function decodeEndpoint(
  value: unknown,
  path: string,
  family: 4 | 6 | undefined,
  intern: Intern,
): SliceEndpoint {
  const endpoint = asObject(value, path);
  const text = (field: string): string | undefined => {
    const found = asOptionalText(endpoint[field], `${path}.${field}`);
    return found === undefined ? undefined : intern(found);
  };
  const conditions = optionalObject(endpoint['conditions'], `${path}.conditions`);
  const condition = (name: string): boolean | undefined =>
    optionalBoolean(conditions[name], `${path}.conditions.${name}`);
  const hints = optionalObject(endpoint['hints'], `${path}.hints`);
  const ready = condition('ready') ?? true;
  return {
    addresses: decodeAddresses(endpoint['addresses'], `${path}.addresses`, family),
    ready,
    serving: condition('serving') ?? ready,
    terminating: condition('terminating') ?? false,
    nodeName: text('nodeName'),
    zone: text('zone'),
    hintZones: decodeHints(hints['forZones'], `${path}.hints.forZones`, intern),
    hintNodes: decodeHints(hints['forNodes'], `${path}.hints.forNodes`, intern),
    podUid: decodePodUid(endpoint['targetRef'], `${path}.targetRef`),
  };
}

function decodeAddresses(value: unknown, path: string, family: 4 | 6 | undefined): readonly string[] {
  const addresses = eachOf(value, path, (entry, at) => {
    if (family === undefined) return asText(entry, at);
    const address = ipAddress(entry, at);
    if (isIP(address) !== family) throw new DecodeError(at, `an IPv${family} address`, entry);
    return address;
  });
  if (addresses.length === 0) throw new DecodeError(path, 'at least one address', value);
  return addresses;
}

/** kube-proxy takes an empty list for no hint. */
function decodeHints(value: unknown, path: string, intern: Intern): readonly string[] | undefined {
  const names = eachOf(value, path, (entry, at) => intern(asText(asObject(entry, at)['name'], `${at}.name`)));
  return names.length === 0 ? undefined : names;
}

function decodePodUid(value: unknown, path: string): string | undefined {
  const reference = optionalObject(value, path);
  return reference['kind'] === 'Pod' ? asOptionalText(reference['uid'], `${path}.uid`) : undefined;
}
