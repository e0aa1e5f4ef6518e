import type { UnknownFields } from './unknown-fields.ts';

/** Identifies one interface of one container: CNI SPEC, "attachment". */
export interface Attachment {
  readonly containerId: string;
  readonly ifname: string;
}

/** Holder of an address. Pod fields are absent if the runtime passes no K8S_POD_... arguments. */
export interface Owner extends Attachment {
  /** Name of the CNI network. */
  readonly network: string;
  /**
   * Boot ID of the node when the address was assigned. An older boot ID proves that the container
   * is gone.
   */
  readonly bootId: string;
  readonly podNamespace?: string;
  readonly podName?: string;
  readonly podUid?: string;
  readonly unknownFields?: UnknownFields;
}
