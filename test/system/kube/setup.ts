import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { connectKube, type ConnectOptions, type KubeClient } from '../../../cni/kube/connect.ts';
import { KubeError, type KubeErrorCode } from '../../../cni/kube/errors.ts';
import { kubeconfig } from '../../support/kube-api-kubeconfig.ts';
import { pod, startKubeApi, type KubeApiOptions, type KubeApiServer } from '../../support/kube-api.ts';

export interface Started {
  readonly api: KubeApiServer;
  readonly dir: string;
  /** Connects with quick retries; `user` is the kubeconfig's user entry. */
  readonly connect: (options?: Partial<ConnectOptions>, user?: Record<string, unknown>) => KubeClient;
}

/** Starts a server for one test. The end of the test closes it. */
export async function start(t: TestContext, options: KubeApiOptions = {}): Promise<Started> {
  const dir = tempDir(t);
  const api = await startKubeApi(options);
  t.after(() => api.close());
  const connect: Started['connect'] = (more = {}, user) => {
    const kubeconfig = join(dir, 'kubeconfig');
    api.writeKubeconfig(kubeconfig, user);
    const kube = connectKube({
      kubeconfig,
      env: { PATH: process.env['PATH'] },
      deadlineMs: 10_000,
      retryPauseMs: 5,
      ...more,
    });
    t.after(() => kube.close());
    return kube;
  };
  return { api, dir, connect };
}

export function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'kube-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Writes a kubeconfig for a server other than the test API server. */
export function writeKubeconfig(t: TestContext, url: string): string {
  const file = join(tempDir(t), 'kubeconfig');
  writeFileSync(file, kubeconfig(url, undefined, {}));
  return file;
}

/** For assert.rejects: expects a KubeError with this code, a matching message and a remedy. */
export const isError =
  (code: KubeErrorCode, pattern = /./) =>
  (error: unknown): boolean => {
    if (!(error instanceof KubeError)) throw error;
    if (error.code === code && pattern.test(error.message) && error.remedy !== '') return true;
    throw new Error(`expected ${code} and ${pattern.source}, got ${error.code}: ${error.message}`, {
      cause: error,
    });
  };

/** Adds `count` running pods across three nodes, each with an address. */
export function fill(api: KubeApiServer, count: number): void {
  for (let i = 0; i < count; i++) {
    const name = `pod-${String(i).padStart(5, '0')}`;
    api.putPod(
      pod({ namespace: 'shop', name, uid: `uid-${i}`, node: `n${i % 3}`, ip: `10.0.${i >> 8}.${i & 255}` }),
    );
  }
}
