/* Field and label selectors, as far as the clients under test have them. */
import type { KubeObject } from './kube-api-objects.ts';

export type Selector = (object: KubeObject) => boolean;

/** Returns undefined when the query selects every object. */
export function parseSelectors(query: URLSearchParams): Selector | undefined | 'unsupported' {
  const fields = parseFields(query.get('fieldSelector'));
  const labels = parseLabels(query.get('labelSelector'));
  if (fields === 'unsupported' || labels === 'unsupported') return 'unsupported';
  if (fields === undefined || labels === undefined) return fields ?? labels;
  return (object) => fields(object) && labels(object);
}

function parseFields(text: string | null): Selector | undefined | 'unsupported' {
  if (text === null || text === '') return undefined;
  const [, field, value] = /^(spec\.nodeName|metadata\.name|metadata\.namespace)==?(.*)$/.exec(text) ?? [];
  if (field === undefined) return 'unsupported';
  return ({ metadata, spec }) => {
    if (field === 'spec.nodeName') return (spec?.['nodeName'] ?? '') === value;
    return (field === 'metadata.name' ? metadata.name : metadata.namespace) === value;
  };
}

/** Understands `key`, `!key`, `key=value`, `key==value` and `key!=value`, with commas between. */
function parseLabels(text: string | null): Selector | undefined | 'unsupported' {
  if (text === null || text === '') return undefined;
  const requirements = text.split(',').map(parseRequirement);
  if (requirements.includes(undefined)) return 'unsupported';
  return ({ metadata }) => requirements.every((holds) => holds?.(metadata.labels ?? {}) === true);
}

type Requirement = (labels: Readonly<Record<string, string>>) => boolean;

function parseRequirement(text: string): Requirement | undefined {
  const [, not, key, operator, value] = /^(!?)([\w./-]+)(?:(==?|!=)([\w.-]*))?$/.exec(text.trim()) ?? [];
  if (key === undefined || (not === '!' && operator !== undefined)) return undefined;
  if (operator === undefined) return (labels) => key in labels !== (not === '!');
  return (labels) => (labels[key] === value) !== (operator === '!=');
}
