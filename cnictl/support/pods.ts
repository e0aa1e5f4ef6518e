/** Reads what the bundle needs of the cluster's own objects. Pure. */
import { asArray, asObject, asOptionalText, asText, type Json } from '../../cni/kube/decode.ts';

/** A pod of cellnet, without what may be a secret: its environment, arguments and annotations. */
export interface OwnPod {
  readonly namespace: string;
  readonly name: string;
  readonly node: string | null;
  readonly phase: string;
  readonly createdAt: string | null;
  readonly isEnding: boolean;
  readonly containers: readonly OwnContainer[];
}

export interface OwnContainer {
  readonly name: string;
  readonly image: string;
  readonly ready: boolean;
  readonly restarts: number;
  /** As Kubernetes has it: what runs since when, or why it ended or waits. */
  readonly state: unknown;
  readonly lastState: unknown;
}

/** Name of the container that the agent is in, as docs/examples/cellnet-daemonset.yaml has it. */
export const AGENT_CONTAINER = 'cellnetd';

const objectAt = (object: Json, field: string): Json => asObject(object[field] ?? {}, field);
const listAt = (object: Json, field: string): readonly Json[] =>
  asArray(object[field] ?? [], field).map((each) => asObject(each, field));

/** @throws DecodeError */
export function ownPodOf(pod: Json): OwnPod {
  const [metadata, spec, status] = ['metadata', 'spec', 'status'].map((field) => objectAt(pod, field));
  const statuses = [
    ...listAt(status ?? {}, 'initContainerStatuses'),
    ...listAt(status ?? {}, 'containerStatuses'),
  ];
  return {
    namespace: asText(metadata?.['namespace'], 'metadata.namespace'),
    name: asText(metadata?.['name'], 'metadata.name'),
    node: asOptionalText(spec?.['nodeName'], 'spec.nodeName') ?? null,
    phase: asOptionalText(status?.['phase'], 'status.phase') ?? 'Unknown',
    createdAt: asOptionalText(metadata?.['creationTimestamp'], 'metadata.creationTimestamp') ?? null,
    isEnding: metadata?.['deletionTimestamp'] !== undefined,
    containers: [...listAt(spec ?? {}, 'initContainers'), ...listAt(spec ?? {}, 'containers')].map(
      (container) => containerOf(container, statuses),
    ),
  };
}

function containerOf(container: Json, statuses: readonly Json[]): OwnContainer {
  const name = asText(container['name'], 'name');
  const status = statuses.find((each) => each['name'] === name) ?? {};
  const { restartCount } = status;
  return {
    name,
    image: asOptionalText(container['image'], 'image') ?? '',
    ready: status['ready'] === true,
    restarts: typeof restartCount === 'number' ? restartCount : 0,
    state: status['state'] ?? null,
    lastState: status['lastState'] ?? null,
  };
}

/** The pod in which the agent of a node can be asked; undefined where it runs none. */
export const agentPodOn = (pods: readonly OwnPod[], node: string): OwnPod | undefined =>
  pods.find((pod) => pod.node === node && pod.phase === 'Running' && !pod.isEnding && agentContainerOf(pod));

export const agentContainerOf = ({ containers }: OwnPod): OwnContainer | undefined =>
  containers.find(({ name }) => name === AGENT_CONTAINER);
