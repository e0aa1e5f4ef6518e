/** Node's warning of an IP address as the name of a TLS server (RFC 6066 section 3). */
const OF_IP_NAME = 'DEP0123';

let isAllowed = false;

/**
 * Keeps Node from writing that warning to standard error. gRPC names the host of every endpoint as
 * the server's name, also where the host is an address.
 */
export function allowIpNames(): void {
  if (isAllowed) return;
  isAllowed = true;
  const emitWarning = process.emitWarning.bind(process) as (...all: readonly unknown[]) => void;
  process.emitWarning = (...all: readonly unknown[]): void => {
    if (!all.includes(OF_IP_NAME)) emitWarning(...all);
  };
}
