import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Tree } from '../../../../cnictl/install/layout.ts';
import { DEFAULT_FOLDERS, findFolders, readFolders } from '../../../../cnictl/install/runtimes.ts';
import { realFiles } from '../../../../cnictl/context/host-files.ts';
import type { Look } from '../../../../cnictl/context/file-access.ts';

/** A node that has these files and no other. */
function nodeWith(files: Readonly<Record<string, string>>): Look {
  return {
    ...realFiles,
    read: (path) => files[path],
    list: (folder) =>
      Object.keys(files)
        .filter((path) => path.startsWith(`${folder}/`))
        .map((path) => path.slice(folder.length + 1))
        .sort(),
  };
}

const find = (files: Readonly<Record<string, string>>): ReturnType<typeof findFolders> => {
  const look = nodeWith(files);
  return findFolders(new Tree('/', look), look);
};

suite("the runtime's folders, by its own configuration", () => {
  for (const [what, text, folders] of [
    [
      'containerd 1',
      '  bin_dir = "/a/bin"\n  conf_dir = "/a/net.d"\n',
      { binDir: '/a/bin', confDir: '/a/net.d' },
    ],
    ['containerd 2', "bin_dirs = ['/a/bin', '/b/bin']\n", { binDir: '/a/bin' }],
    [
      'the usual one among several',
      'plugin_dirs = [\n\t"/usr/libexec/cni",\n\t"/opt/cni/bin/",\n]\n',
      { binDir: '/opt/cni/bin' },
    ],
    ['CRI-O', 'network_dir = "/b/net.d/"\n', { confDir: '/b/net.d' }],
    ['comments', '# bin_dir = "/no"\nplugin_dirs = [\n# "/no",\n "/yes"]\n', { binDir: '/yes' }],
    ['keys of another meaning', 'cni_conf_dir = "/no"\nbin_dir = ""\n', {}],
  ] as const)
    test(what, () => assert.deepEqual(readFolders(text), folders));

  test('none is configured: the usual ones', () => assert.deepEqual(find({}), DEFAULT_FOLDERS));

  test('k3s with a network of its own, and without', () => {
    const file = '/var/lib/rancher/k3s/agent/etc/containerd/config.toml';
    const folders = { binDir: '/k3s/bin', confDir: '/k3s/net.d' };
    assert.deepEqual(find({ [file]: 'bin_dir = "/k3s/bin"\nconf_dir = "/k3s/net.d"\n' }), folders);
    assert.deepEqual(find({ [file]: 'version = 3\n' }), DEFAULT_FOLDERS);
  });

  test('a later drop-in of CRI-O overrides, as MicroShift has it', () => {
    const files = {
      '/etc/crio/crio.conf': 'network_dir = "/etc/cni/net.d/"\nplugin_dirs = ["/usr/libexec/cni"]\n',
      '/etc/crio/crio.conf.d/00-default.conf': 'plugin_dirs = ["/a"]\n',
      '/etc/crio/crio.conf.d/10-microshift.conf': 'plugin_dirs = [ "/run/cni/bin" ]\n',
    };
    assert.deepEqual(find(files), { binDir: '/run/cni/bin', confDir: '/etc/cni/net.d' });
  });

  test("MicroK8s's variable", () => {
    const text = 'bin_dir = "${SNAP_DATA}/opt/cni/bin"\nconf_dir = "${SNAP_DATA}/args/cni-network"\n';
    assert.deepEqual(find({ '/var/snap/microk8s/current/args/containerd.toml': text }), {
      binDir: '/var/snap/microk8s/current/opt/cni/bin',
      confDir: '/var/snap/microk8s/current/args/cni-network',
    });
  });

  test("Docker's containerd beside k3s does not count", () => {
    const files = {
      '/var/lib/rancher/k3s/agent/etc/containerd/config.toml': 'bin_dir = "/k3s/bin"\n',
      '/etc/containerd/config.toml': 'disabled_plugins = ["cri"]\n',
    };
    assert.equal(find(files).binDir, '/k3s/bin');
  });
});
