import { formatAddress, parseAddress, type Address } from './address.ts';
import { durationMs, formatDuration } from './duration.ts';
import { IpamError } from './errors.ts';
import { isKeepTime, KEEP_FORM } from './keep.ts';
import { isObjectName, OBJECT_NAME_FORM } from './object-name.ts';

/** What a pod may ask for by an annotation, where its rule allows it. */
export const ANNOTATION_KINDS = ['ranges', 'ip', 'keep'] as const;
export type AnnotationKind = (typeof ANNOTATION_KINDS)[number];

/** All annotations of cellnet begin with this. */
export const ANNOTATION_PREFIX = 'cellnet.io/';
export const annotationKey = (kind: AnnotationKind): string => `${ANNOTATION_PREFIX}${kind}`;

/** What a rule lets its pods ask for. Rules are an operator's, pods anybody's who may make one. */
export interface AllowedAnnotations {
  readonly kinds: readonly AnnotationKind[];
  /** Longest time for which a pod may have its address kept; absent: for ever. */
  readonly keepAtMostMs?: number;
}

/** What a pod asks for. */
export interface AnnotationValues {
  /** Names of ranges to draw from, and from no others. */
  readonly ranges?: readonly string[];
  /** At most one of each family. */
  readonly ips?: readonly Address[];
  /** How long its addresses are kept; absent: as the rule says. */
  readonly keep?: 'none' | { readonly forMs?: number };
}

/** Most ranges that an annotation may name. */
const MOST_RANGES = 20;

/**
 * Reads the annotations that the rule allows. All others are ignored.
 * @throws IpamError `invalid`, naming the annotation, its value and what was expected
 */
export function readAnnotations(
  annotations: Readonly<Record<string, string>>,
  { kinds, keepAtMostMs }: AllowedAnnotations,
): AnnotationValues {
  const textOf = (kind: AnnotationKind): string | undefined => {
    const key = annotationKey(kind);
    return kinds.includes(kind) && Object.hasOwn(annotations, key) ? annotations[key] : undefined;
  };
  const [ranges, ip, keep] = [textOf('ranges'), textOf('ip'), textOf('keep')];
  return {
    ...(ranges !== undefined && { ranges: rangesIn(ranges) }),
    ...(ip !== undefined && { ips: addressesIn(ip) }),
    ...(keep !== undefined && { keep: keepIn(keep, keepAtMostMs) }),
  };
}

function rangesIn(value: string): string[] {
  const names = partsOf(value);
  const isRight =
    names.every(isObjectName) && new Set(names).size === names.length && names.length <= MOST_RANGES;
  if (isRight) return names;
  throw badAnnotation(
    'ranges',
    value,
    `at most ${MOST_RANGES} names of ranges with commas between, each once (${OBJECT_NAME_FORM})`,
  );
}

function addressesIn(value: string): Address[] {
  const expected = "an address such as 10.20.0.17, or one of each family such as '10.20.0.17,fd00:20::17'";
  const addresses = partsOf(value).map((part) => {
    try {
      return parseAddress(part);
    } catch {
      throw badAnnotation('ip', value, expected);
    }
  });
  const isRight = ([4, 6] as const).every(
    (family) => addresses.filter((each) => each.family === family).length <= 1,
  );
  if (isRight) return addresses;
  throw badAnnotation('ip', value, expected);
}

function keepIn(value: string, atMostMs: number | undefined): NonNullable<AnnotationValues['keep']> {
  const text = value.trim();
  if (text === 'none') return 'none';
  const forMs = text === 'forever' ? undefined : durationMs(text);
  if (text !== 'forever' && (forMs === undefined || !isKeepTime(forMs)))
    throw badAnnotation('keep', value, `${KEEP_FORM}, or none`);
  if (atMostMs !== undefined && (forMs === undefined || forMs > atMostMs))
    throw badAnnotation('keep', value, `at most ${formatDuration(atMostMs)}, for its rule allows no more`);
  return forMs === undefined ? {} : { forMs };
}

const partsOf = (value: string): string[] => value.split(',').map((part) => part.trim());

/** Whoever writes the pod may send a text of 256 kB. */
const LONGEST_SHOWN = 100;

/** The pod waits until its annotation is mended. */
export function badAnnotation(kind: AnnotationKind, value: string, expected: string): IpamError {
  const shown = value.length > LONGEST_SHOWN ? `${value.slice(0, LONGEST_SHOWN)}…` : value;
  return new IpamError(
    'invalid',
    `annotation ${annotationKey(kind)} of the pod is ${JSON.stringify(shown)}: expected ${expected}`,
    { remedy: 'Correct it where the pod is made, such as in the template of its Deployment.' },
  );
}

/** Writes addresses as the annotation has them, for messages. */
export const addressesText = (addresses: readonly Address[]): string =>
  addresses.map(formatAddress).join(',');
