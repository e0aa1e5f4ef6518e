import type { Json } from '../../../../cni/kube/decode.ts';
import type { ObjectType } from '../../../../cni/kube/object-types.ts';
import type { KubeWriter, NewObject, Place } from '../../../../cni/kube/writer.ts';

export const BEGAN = Date.parse('2026-01-31T12:00:00Z');

/** An API server without a network: deleted objects go at once, as does all of a namespace. */
export class Cluster implements KubeWriter {
  readonly server = 'https://k';
  readonly objects = new Map<string, Json>();
  now = BEGAN;
  #next = 1;
  readLog: (name: string) => string = () => '';
  /** Thrown where a namespace should be deleted. */
  removal: Error | undefined;

  get(type: ObjectType, place: Place): Promise<Json | undefined> {
    return Promise.resolve(this.objects.get(keyOf(type, place)));
  }

  list(type: ObjectType, { labelSelector = '' } = {}): Promise<readonly Json[]> {
    const [key = '', value] = labelSelector.split('=');
    const found = [...this.objects].filter(([at]) => at.startsWith(`${type.resource} `));
    return Promise.resolve(
      found
        .map(([, object]) => object)
        .filter(({ metadata }) => key === '' || (metadata as NewObject['metadata']).labels[key] === value),
    );
  }

  async log({ name }: Required<Place>): Promise<string> {
    await Promise.resolve();
    return this.readLog(name);
  }

  exec(): Promise<never> {
    return Promise.reject(new Error('no test of this world runs anything in a pod'));
  }

  create(type: ObjectType, namespace: string | undefined, object: NewObject): Promise<Json> {
    const place = { ...(namespace !== undefined && { namespace }), name: object.metadata.name };
    const uid = `uid-${this.#next++}`;
    const made = {
      ...object,
      metadata: { ...object.metadata, uid, creationTimestamp: new Date(this.now).toISOString() },
      status: { phase: 'Running', containerStatuses: [{ name: 'main', state: { running: {} } }] },
    };
    this.objects.set(keyOf(type, place), made);
    return Promise.resolve(made);
  }

  remove(type: ObjectType, place: Place, uid: string): Promise<void> {
    const found = this.objects.get(keyOf(type, place));
    if ((found?.['metadata'] as { uid?: string } | undefined)?.uid !== uid) return Promise.resolve();
    if (type.resource === 'namespaces' && this.removal !== undefined) return Promise.reject(this.removal);
    if (type.resource === 'namespaces') this.objects.clear();
    else this.objects.delete(keyOf(type, place));
    return Promise.resolve();
  }

  close(): void {
    // It holds no connection.
  }
}

const keyOf = ({ resource }: ObjectType, { namespace = '', name }: Place): string =>
  `${resource} ${namespace}/${name}`;
