import { watchMove } from './uplink/watchdog.ts';

/**
 * Program `cnictl-uplink-guard`: undoes a move of addresses to a bridge unless `cnictl node init`,
 * which starts it, confirms the move. Its arguments are the state folder and a time in
 * milliseconds.
 */
const [, , stateDir = '', limitMs = '0'] = process.argv;
void watchMove(stateDir, Number(limitMs)).then((status) => process.exit(status));
