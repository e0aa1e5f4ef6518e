import type { UnknownFields } from './unknown-fields.ts';

/** Identifies one interface of one container: CNI SPEC, "attachment". */
export interface Attachment {
  readonly containerId: string;
  readonly ifname: string;
}

/** What {@link isContainerId} accepts, for messages. */
export const CONTAINER_ID_FORM = `letters, digits, '_', '.', '-', beginning with a letter or digit`;
const CONTAINER_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/;

/**
 * Whether the text is a container ID (CNI SPEC section 2, `CNI_CONTAINERID`) of at most 255
 * characters. Such a text is safe in a file name.
 */
export const isContainerId = (text: string): boolean => CONTAINER_ID.test(text);

/** IFNAMSIZ of <linux/if.h> without the final NUL. */
const MAX_IFNAME_BYTES = 15;
/** What {@link isIfname} accepts, for messages. */
export const IFNAME_FORM = `at most ${MAX_IFNAME_BYTES} bytes, not '.' or '..', without '/', ':' and space`;

const encoder = new TextEncoder();

/** Whether the kernel accepts the text as a link's name (`dev_valid_name` of net/core/dev.c). */
export function isIfname(text: string): boolean {
  if (text === '' || text === '.' || text === '..' || /[/:\s\p{Cs}]/u.test(text)) return false;
  // A UTF-16 unit takes at most three bytes of UTF-8: most names need no count.
  return text.length * 3 <= MAX_IFNAME_BYTES || encoder.encode(text).length <= MAX_IFNAME_BYTES;
}

/** Whether both parts have their form. What comes from outside may have any. */
export const isAttachment = ({ containerId, ifname }: Attachment): boolean =>
  isContainerId(containerId) && isIfname(ifname);

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
