import { runPlugin } from './process.ts';

/** The CNI plugin `cellnet`. */
void runPlugin('cellnet');
