import { ownConformance } from './own.ts';

ownConformance('cellnet-ipam', 'ipam');
