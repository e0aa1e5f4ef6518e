import { dirname, join } from 'node:path';

/**
 * Returns the path of the socket that ovs-vswitchd has for a bridge: `BRIDGE.mgmt`, beside that of
 * the database (ovs-ofctl(8) "Connecting to an OpenFlow switch").
 * @param ovsdb remote of the database, `unix:/PATH`
 */
export const managementSocket = (ovsdb: string, bridge: string): string =>
  join(dirname(ovsdb.replace(/^unix:/, '')), `${bridge}.mgmt`);
