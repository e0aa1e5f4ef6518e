import type { Namespace } from './netns.ts';
import { run, startDaemon, type Daemon } from './proc.ts';

/**
 * One end of an SCTP association (RFC 9260), as far as its set-up goes. It sends and receives the
 * packets by raw sockets, since the kernels of test machines lack SCTP. All have their checksum,
 * CRC32c, which depends on the ports.
 */
const PROGRAM = `
import socket, struct, sys

INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK = 1, 2, 10, 11

def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x82f63b78 if crc & 1 else crc >> 1
    return crc ^ 0xffffffff

def packet(source, destination, tag, kind, body=b''):
    chunk = struct.pack('!BBH', kind, 0, 4 + len(body)) + body
    zero = struct.pack('!HHII', source, destination, tag, 0) + chunk
    return zero[:8] + struct.pack('<I', crc32c(zero)) + zero[12:]

side, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
v6 = ':' in address
raw = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, 132)
raw.settimeout(4)

def receive(kind):
    data, peer = raw.recvfrom(2000)
    data = data if v6 else data[(data[0] & 15) * 4:]
    source, destination = struct.unpack('!HH', data[:4])
    zero = data[:8] + bytes(4) + data[12:]
    if data[12] != kind or struct.unpack('<I', data[8:12])[0] != crc32c(zero):
        sys.exit('a packet of kind %d with a bad checksum, or not %d' % (data[12], kind))
    return peer[0], source, destination

begin = struct.pack('!IIHHI', 7, 65536, 1, 1, 1)
if side == 'serve':
    raw.bind((address, 0))
    print('up', flush=True)
    raw.settimeout(None)
    while True:
        client, source, own = receive(INIT)
        raw.sendto(packet(own, source, 7, INIT_ACK, begin + struct.pack('!HH4s', 7, 8, b'cook')), (client, 0))
        receive(COOKIE_ECHO)
        raw.sendto(packet(own, source, 7, COOKIE_ACK), (client, 0))
        print(client, flush=True)
else:
    raw.sendto(packet(40000, port, 0, INIT, begin), (address, 0))
    first = receive(INIT_ACK)
    raw.sendto(packet(40000, port, 7, COOKIE_ECHO, b'cook'), (address, 0))
    second = receive(COOKIE_ACK)
    print(*first if first == second else ('two peers', first, second))
`;

/** Takes associations at an address. Its output has a line for each, the client's address. */
export const serveSctp = (ns: Namespace, address: string): Promise<Daemon> =>
  startDaemon('python3', ['-c', PROGRAM, 'serve', address, '0'], (each) => each.output().includes('up'), {
    netns: ns.name,
  });

/**
 * Sets up an association.
 * @returns the server's address and port, and the client's port, as the client sees them
 */
export async function associate(ns: Namespace, address: string, port: number): Promise<string> {
  const { code, stdout, stderr } = await run('python3', ['-c', PROGRAM, 'ask', address, `${port}`], {
    netns: ns.name,
  });
  return code === 0 ? stdout.trim() : stderr.trim();
}
