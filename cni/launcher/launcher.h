/* What the files of the launcher share. launcher.c says what the launcher does. */
#ifndef CELLNET_LAUNCHER_H
#define CELLNET_LAUNCHER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#ifndef PLUGIN
#error "compile with -DPLUGIN=\"cellnet\""
#endif
#ifndef VERSION
#error "compile with -DVERSION=\"0.2.0\""
#endif

/* Room for the path of a unix socket, with its NUL. */
#define SOCKET_PATH_SIZE sizeof(((struct sockaddr_un *)0)->sun_path)
#define MAX_STDIN (4u << 20)
#define MAX_REPLY (4u << 20)

struct bytes {
  char *data;
  size_t length;
};

/* io.c: every wait ends at a deadline, in milliseconds of the monotonic clock. */
#define NEVER INT64_MAX
int64_t now_ms(void);
int wait_for(int fd, short events, int64_t deadline);
int read_all(int fd, size_t most, int64_t deadline, struct bytes *into);
int write_out(const char *data, size_t length, int64_t deadline);

/* config.c */
const char *agent_path(const struct bytes *input, char path[SOCKET_PATH_SIZE]);

/* agent.c */
enum answer { ANSWERED, NO_AGENT, TOO_LATE };
enum answer ask_agent(const char *path, const struct bytes *input, int64_t deadline, struct bytes *output,
                      int *status);

/* node-plugin.c */
int run_node_plugin(const struct bytes *input, const char *option);

/* reply.c */
int print_error(const struct bytes *input, int code, const char *message, const char *details);

#endif
