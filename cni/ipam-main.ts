import { runPlugin } from './process.ts';

/** The CNI IPAM plugin `cellnet-ipam`. */
void runPlugin('cellnet-ipam');
