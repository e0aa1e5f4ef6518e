import { ANNOTATION_KINDS } from '../../ipam/model/annotations.ts';
import type { Rule } from '../../ipam/model/rule.ts';
import { parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';

export interface AnnotationOptions {
  /** Kinds with commas between. */
  readonly allowAnnotations?: string;
  readonly keepAtMost?: string;
}

/** @throws CommandError */
export function annotationsFrom({
  allowAnnotations,
  keepAtMost,
}: AnnotationOptions): Pick<Rule, 'annotations'> {
  if (allowAnnotations === undefined) {
    if (keepAtMost !== undefined) throw new CommandError('--keep-at-most: expected with --allow-annotations');
    return {};
  }
  const kinds = allowAnnotations.split(',').map((text) => {
    const kind = ANNOTATION_KINDS.find((each) => each === text.trim());
    if (kind) return kind;
    throw new CommandError(
      `--allow-annotations '${allowAnnotations}': expected some of ${ANNOTATION_KINDS.join()}`,
    );
  });
  const most = keepAtMost === undefined ? undefined : parseDuration(keepAtMost, '--keep-at-most', Infinity);
  return { annotations: { kinds, ...(most !== undefined && { keepAtMostMs: most }) } };
}

/** Whether addresses may be kept by the rule, or because it allows annotations that say so. */
export const keeps = ({ keep, annotations }: Rule): boolean =>
  keep !== undefined || (annotations?.kinds.includes('keep') ?? false);

/** Whether pods may choose any address that is not kept for those who are named. */
export const choosesFreely = ({ annotations, ranges }: Rule): boolean =>
  ranges.length === 0 && (annotations?.kinds.includes('ip') ?? false);

export const freeChoice = ({ name }: Rule): string =>
  `rule ${name} lets its pods choose any free address of every range without --named-only, also one that others' firewalls know: --range limits that`;
