import { CommandError } from '../context/errors.ts';

export const underWay = (): CommandError =>
  new CommandError(
    'another cnictl is moving addresses to a bridge of this host, or undoing it',
    'Wait for its end: a minute or two. Its log is uplink-move.log in the state folder.',
  );
