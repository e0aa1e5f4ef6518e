import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { BY_KUBERNETES, fileChecks, judgeAgent } from '../../../../cnictl/doctor/node.ts';
import { CliWorld } from '../../../golden/world.ts';

suite("doctor in the agent's own pod", () => {
  const none = { list: () => [], read: () => undefined, kind: () => undefined };
  const look = async (inPod: boolean): Promise<string[]> => {
    const paths = { confDir: '/etc/cni/net.d', binDir: '/opt/cni/bin', stateDir: '/none', inPod };
    const found = await Promise.all(fileChecks(none, paths).map((check) => check.look()));
    return found.flat().map(({ check, level }) => `${check}: ${level}`);
  };

  test('a folder of the host that is not mounted there is no failure', async () => {
    assert.deepEqual(await look(true), ['network: ok', 'put-off teardowns: ok']);
    assert.deepEqual(await look(false), ['network: fail', 'put-off teardowns: ok']);
  });

  test('a mounted folder without a network is a failure there too', async () => {
    const paths = { confDir: '/etc/cni/net.d', binDir: '/opt/cni/bin', stateDir: '/none', inPod: true };
    const [network] = fileChecks({ ...none, kind: () => 'directory' as never }, paths);
    assert.equal((await network?.look())?.[0]?.level, 'fail');
  });

  test('the remedies are of Kubernetes, not of systemd', async () => {
    for (const answer of [
      { answers: false, health: undefined },
      { answers: true, health: undefined },
      { answers: true, health: { ok: true, version: '0', reasons: [] } },
    ]) {
      const { remedy } = judgeAgent('/s', answer, '1', BY_KUBERNETES);
      assert.match(remedy, /kubectl -n kube-system/);
      assert.doesNotMatch(remedy, /systemctl|journalctl/);
    }
    const world = await CliWorld.make();
    world.env['KUBERNETES_SERVICE_HOST'] = '10.96.0.1';
    world.agent = { answers: false, health: undefined };
    const { stdout } = await world.run('doctor --conf-dir /none');
    assert.match(stdout, /ok +network +not looked at: \/none is not mounted in this pod/);
    assert.doesNotMatch(stdout, /cellnetd/);
  });
});
