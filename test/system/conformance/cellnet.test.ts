import { ownConformance } from './own.ts';

ownConformance('cellnet', 'main');
