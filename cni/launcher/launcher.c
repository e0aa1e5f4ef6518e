/*
 * The container runtime executes this launcher for each call. While the node agent runs, starting
 * the launcher costs about 1 ms, and starting Node would cost 60 to 140 ms. The launcher passes
 * environment and standard input to the agent, and copies the agent's reply. It only searches the
 * configuration for the word "agent": when that key is set, the launcher executes the Node plugin,
 * which understands the key.
 *
 * When no agent answers, the launcher executes the Node plugin (../libexec/PLUGIN from its own
 * folder) with the same input.
 *
 * Frame to the agent:  "cellnet1"  u32 bytes of environment  u32 bytes of input  environment  input
 *     environment: the plugin's name, then each variable, each terminated by NUL. Numbers are
 *     little-endian.
 * Frame back:          "cellnet1"  u32 exit status           u32 bytes of output output
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef PLUGIN
#error "compile with -DPLUGIN=\"cellnet\""
#endif

#define MAGIC "cellnet1"
#define HEADER 16
#define DEFAULT_SOCKET "/run/cellnet/agent.sock"
#define DEFAULT_CONFIG "/etc/cellnet/config.json"
#define MAX_STDIN (4u << 20)
#define MAX_ENVIRONMENT (1u << 20)
#define MAX_REPLY (4u << 20)
/*
 * The kubelet allows four minutes for a pod's sandbox. The agent's own deadlines together are below
 * this one.
 */
#define DEADLINE_MS 90000

extern char **environ;

struct bytes {
  char *data;
  size_t length;
};

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Reads a whole file and appends a NUL. Returns -1 on an error or for more than `most` bytes. */
static int read_all(int fd, size_t most, struct bytes *into) {
  size_t size = 16384;
  into->length = 0;
  into->data = malloc(size);
  while (into->data) {
    ssize_t got = read(fd, into->data + into->length, size - into->length - 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    into->length += (size_t)got;
    into->data[into->length] = '\0';
    if (got == 0) return 0;
    if (into->length > most) return -1;
    if (size - into->length < 2) into->data = realloc(into->data, size *= 2);
  }
  return -1;
}

static int mentions_agent(const struct bytes *text) {
  return memmem(text->data, text->length, "\"agent\"", 7) != NULL;
}

/*
 * Returns 0 when the file is absent or does not mention the agent. Returns 1 for an unreadable file
 * too, and for one that is not regular: the Node plugin reports the error. Without O_NONBLOCK,
 * opening a named pipe waits for its writer.
 */
static int shared_config_mentions_agent(void) {
  const char *path = getenv("CELLNET_CONFIG");
  struct bytes text = {0};
  struct stat status;
  int fd = open(path && *path ? path : DEFAULT_CONFIG, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return errno != ENOENT;
  int found = fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || read_all(fd, MAX_STDIN, &text) < 0 || mentions_agent(&text);
  close(fd);
  free(text.data);
  return found;
}

static int connect_agent(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  /* The launcher trusts only an agent of root, or of its own user in a test. */
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == 0 || peer.uid == geteuid()))
    return fd;
  close(fd);
  return -1;
}

static int send_all(int fd, const char *data, size_t length) {
  while (length > 0) {
    ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return -1;
    data += sent;
    length -= (size_t)sent;
  }
  return 0;
}

/* Returns 1 for all bytes, 0 when the agent is gone, -1 when the deadline has passed. */
static int receive_all(int fd, char *data, size_t length, int64_t deadline) {
  while (length > 0) {
    int64_t left = deadline - now_ms();
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    if (left <= 0) return -1;
    int ready = poll(&waiting, 1, (int)left);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    ssize_t got = ready < 0 ? -1 : recv(fd, data, length, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    data += got;
    length -= (size_t)got;
  }
  return 1;
}

static void put_u32(char *at, uint32_t value) {
  value = htole32(value);
  memcpy(at, &value, 4);
}

static uint32_t get_u32(const char *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return le32toh(value);
}

static int write_out(const char *data, size_t length) {
  while (length > 0) {
    ssize_t written = write(STDOUT_FILENO, data, length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -1;
    data += written;
    length -= (size_t)written;
  }
  return 0;
}

static int send_request(int fd, const struct bytes *input) {
  static const char name[] = PLUGIN;
  size_t length = sizeof name;
  for (char **each = environ; *each; each++) length += strlen(*each) + 1;
  if (length > MAX_ENVIRONMENT) return -1;
  /* The frame is sent in one piece, so that the agent reads it at once. */
  char *frame = malloc(HEADER + length + input->length), *end = frame;
  if (!frame) return -1;
  end = mempcpy(end, MAGIC, 8);
  put_u32(end, (uint32_t)length);
  put_u32(end + 4, (uint32_t)input->length);
  end = mempcpy(end + 8, name, sizeof name);
  for (char **each = environ; *each; each++) end = mempcpy(end, *each, strlen(*each) + 1);
  end = mempcpy(end, input->data, input->length);
  int failed = send_all(fd, frame, (size_t)(end - frame));
  free(frame);
  return failed;
}

/* Prints the timeout error (code 11) in the version of the configuration, or 1.0.0 without one. */
static void print_timeout(const struct bytes *input) {
  char version[16] = "1.0.0";
  const char *at = memmem(input->data, input->length, "\"cniVersion\"", 12);
  if (at) sscanf(at + 12, " : \"%15[0-9.]\"", version);
  printf("{\"cniVersion\":\"%s\",\"code\":11,\"msg\":\"the agent of cellnet did not answer within %d s\","
         "\"details\":\"Look at its log: journalctl -u cellnetd; restart it if it hangs.\"}",
         version, DEADLINE_MS / 1000);
}

/* Returns the exit status, or -1 when no agent answers and the Node plugin must serve the call. */
static int ask_agent(const struct bytes *input) {
  const char *path = getenv("CELLNET_AGENT");
  int64_t deadline = now_ms() + DEADLINE_MS;
  char header[HEADER];
  if (path && strcmp(path, "false") == 0) return -1;
  int fd = connect_agent(path && *path ? path : DEFAULT_SOCKET);
  if (fd < 0) return -1;
  int got = send_request(fd, input) == 0 ? receive_all(fd, header, HEADER, deadline) : 0;
  uint32_t length = got > 0 ? get_u32(header + 12) : 0;
  if (got > 0 && (memcmp(header, MAGIC, 8) != 0 || length > MAX_REPLY)) got = 0;
  char *output = malloc((size_t)length + 1);
  if (got > 0) got = output ? receive_all(fd, output, length, deadline) : 0;
  if (got < 0) {
    print_timeout(input);
    return 1;
  }
  if (got == 0) return -1;
  if (write_out(output, length) < 0) return 1;
  return (int)get_u32(header + 8) & 0xff;
}

/* Executes the Node plugin, with the input that this process has read as standard input. */
static int become_node_plugin(const struct bytes *input) {
  char path[PATH_MAX + 32];
  ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
  if (length < 0) length = 0;
  path[length] = '\0';
  for (int i = 0; i < 2; i++) {
    char *slash = strrchr(path, '/');
    if (slash) *slash = '\0';
  }
  strcat(path, "/libexec/" PLUGIN);
  int fd = memfd_create("stdin", 0);
  if (fd >= 0 && write(fd, input->data, input->length) == (ssize_t)input->length && lseek(fd, 0, SEEK_SET) == 0 &&
      dup2(fd, STDIN_FILENO) == 0) {
    if (fd != STDIN_FILENO) close(fd);
    execl(path, path, (char *)NULL);
  }
  printf("{\"cniVersion\":\"1.0.0\",\"code\":5,\"msg\":\"no agent of cellnet answers, and %s cannot be executed: %s\","
         "\"details\":\"Install all of dist/, not this file alone; Node is needed in PATH.\"}",
         path, strerror(errno));
  return 1;
}

int main(void) {
  struct bytes input = {0};
  if (read_all(STDIN_FILENO, MAX_STDIN, &input) < 0) {
    fputs("{\"cniVersion\":\"1.0.0\",\"code\":5,\"msg\":\"standard input cannot be read, or is longer than 4 MiB\"}", stdout);
    return 1;
  }
  int status = -1;
  if (!mentions_agent(&input) && !shared_config_mentions_agent()) status = ask_agent(&input);
  return status >= 0 ? status : become_node_plugin(&input);
}
