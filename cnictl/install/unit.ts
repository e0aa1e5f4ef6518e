import { join } from 'node:path';
import { currentOf, type Layout } from './layout.ts';

/** First line of every unit that install writes. A file without it belongs to somebody else. */
const MARK = '# Written by `cnictl node install`';

const WATCHED = `# It says when it is ready. It must answer a question of its own through its socket within 30 s, or is killed at once
# and started again: a process that hangs does not heed another signal.
Type=notify
WatchdogSec=30
WatchdogSignal=SIGKILL`;

export const isOurUnit = (text: string): boolean => text.startsWith(MARK);

/**
 * Returns the agent's unit. It permits what a call needs and no more. Some directives are missing
 * for a reason: ProtectKernelTunables= would make /proc/sys/net of the pods read-only, ProtectProc=
 * and ProcSubset= would hide /proc/PID/ns/net, ProtectHostname= would freeze the first host name,
 * PrivateTmp= would hide a namespace or socket below /tmp, and MemoryDenyWriteExecute= stops V8's
 * compiler. ProtectSystem=strict gives the agent a mount namespace that is read-only except for the
 * listed paths. New mounts of the host, such as namespaces below /run/netns, still appear in it,
 * and the agent can connect to sockets.
 * @param notifies whether the agent tells systemd that it is ready and lives; systemd would kill
 *   one that does not, again and again
 */
export const makeUnit = (
  layout: Pick<Layout, 'libDir'>,
  notifies = true,
): string => `${MARK}; settings of your own belong into a
# drop-in: systemctl edit cellnetd
[Unit]
Description=Node agent of cellnet, the container network
After=network.target openvswitch-switch.service
Before=kubelet.service
StartLimitIntervalSec=0

[Service]
${notifies ? WATCHED : 'Type=simple'}
ExecStart=${join(currentOf(layout), 'bin/cellnetd')}
ExecReload=/bin/kill -HUP $MAINPID
EnvironmentFile=-/etc/default/cellnetd
Restart=always
RestartSec=1
# It answers what is under way first, 30 s at most; the plugins that it has started are left to end meanwhile.
KillMode=mixed
TimeoutStopSec=40
UMask=0077
LimitNOFILE=65536
OOMScoreAdjust=-900
# Above ovs-vswitchd, for a few milliseconds of each pod: cellnet's docs/decisions/0019. Nice= counts only without the cpu controller.
Nice=-15
CPUWeight=1000

RuntimeDirectory=cellnet
RuntimeDirectoryMode=0700
StateDirectory=cellnet
StateDirectoryMode=0700

# Records of IPAM plugins that it delegates to; another one's folder: ReadWritePaths= in a drop-in.
ReadWritePaths=-/var/lib/cni -/run/cni
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
NoNewPrivileges=yes
# Links and routes; packets of its own; namespaces; those of other users' processes; files of other users (keys).
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_ADMIN CAP_SYS_PTRACE CAP_DAC_OVERRIDE
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_PACKET AF_INET AF_INET6
RestrictNamespaces=net
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`;
