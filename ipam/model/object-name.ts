const NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

/** What {@link isObjectName} accepts, for messages. */
export const OBJECT_NAME_FORM =
  "1 to 63 lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit";

/** Whether a range or rule may have the name. */
export const isObjectName = (text: string): boolean => NAME.test(text);
