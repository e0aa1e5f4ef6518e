import { messageOf } from '../../ipam/model/errors.ts';

/** What goes wrong is collected: the work goes on past it, and all of it is told at the end. */
export class Failures {
  readonly texts: string[] = [];

  /** @returns undefined where it failed */
  async attempt<T>(what: string, work: () => Promise<T> | T): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.texts.push(`${what}: ${messageOf(error)}`);
      return undefined;
    }
  }
}
