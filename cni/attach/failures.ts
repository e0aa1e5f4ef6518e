import { messageOf } from '../../ipam/model/errors.ts';

/** Collects failures, so that the caller can continue and report all of them at the end. */
export class Failures {
  readonly texts: string[] = [];

  /** Returns the result of the work, or undefined when it fails. */
  async attempt<T>(what: string, work: () => Promise<T> | T): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.texts.push(`${what}: ${messageOf(error)}`);
      return undefined;
    }
  }
}
