/**
 * Fields of a record that this release does not know: a later one has added them. They are carried along and written back as
 * they were read.
 */
export type UnknownFields = Readonly<Record<string, unknown>>;
