/**
 * Fields of a record that a later release added and this one does not know. IPAM keeps them and
 * writes them back unchanged.
 */
export type UnknownFields = Readonly<Record<string, unknown>>;
