/*
 * Asks the agent. cni/agent/protocol.ts implements the same protocol: change both.
 *
 * Frame to the agent:  "cellnet1"  u32 bytes of environment  u32 bytes of input  environment  input
 *     environment: the plugin's name, then each variable, each terminated by NUL. Numbers are
 *     little-endian.
 * Frame back:          "cellnet1"  u32 exit status           u32 bytes of output output
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "launcher.h"

#define MAGIC "cellnet1"
#define HEADER 16
#define MAX_ENVIRONMENT (1u << 20)

extern char **environ;

/* connect(2) waits while the agent's queue is full, for as long as the socket's send timeout. */
static int connect_until(int fd, const struct sockaddr_un *address, int64_t deadline) {
  for (;;) {
    int64_t left = deadline - now_ms();
    if (left <= 0) {
      errno = ETIMEDOUT;
      return -1;
    }
    struct timeval wait = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0) return -1;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0) return 0;
    if (errno != EINTR && errno != EAGAIN) return -1;
  }
}

/* The launcher trusts only an agent of root, or of its own user in a test. */
static int is_trusted(int fd) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return 0;
  return peer.uid == 0 || peer.uid == geteuid();
}

static enum answer send_all(int fd, const char *data, size_t length, int64_t deadline) {
  while (length > 0) {
    ssize_t sent = send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN && !wait_for(fd, POLLOUT, deadline)) return TOO_LATE;
    if (sent < 0 && errno != EINTR && errno != EAGAIN) return NO_AGENT;
    if (sent < 0) continue;
    data += sent;
    length -= (size_t)sent;
  }
  return ANSWERED;
}

static enum answer receive_all(int fd, char *data, size_t length, int64_t deadline) {
  while (length > 0) {
    if (!wait_for(fd, POLLIN, deadline)) return TOO_LATE;
    ssize_t got = recv(fd, data, length, MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return NO_AGENT;
    data += got;
    length -= (size_t)got;
  }
  return ANSWERED;
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

static enum answer send_request(int fd, const struct bytes *input, int64_t deadline) {
  static const char name[] = PLUGIN;
  /* Later than the runtime's own variables: of two of one name the agent takes the last. */
  static const char version[] = "CELLNET_PLUGIN_VERSION=" VERSION;
  size_t length = sizeof name + sizeof version;
  for (char **each = environ; *each; each++) length += strlen(*each) + 1;
  if (length > MAX_ENVIRONMENT) return NO_AGENT;
  /* The frame is sent in one piece, so that the agent reads it at once. */
  char *frame = malloc(HEADER + length + input->length), *end = frame;
  if (!frame) return NO_AGENT;
  end = mempcpy(end, MAGIC, 8);
  put_u32(end, (uint32_t)length);
  put_u32(end + 4, (uint32_t)input->length);
  end = mempcpy(end + 8, name, sizeof name);
  for (char **each = environ; *each; each++) end = mempcpy(end, *each, strlen(*each) + 1);
  end = mempcpy(end, version, sizeof version);
  end = mempcpy(end, input->data, input->length);
  enum answer sent = send_all(fd, frame, (size_t)(end - frame), deadline);
  free(frame);
  return sent;
}

static enum answer exchange(int fd, const struct bytes *input, int64_t deadline, struct bytes *output,
                            int *status) {
  char header[HEADER];
  enum answer got = send_request(fd, input, deadline);
  if (got == ANSWERED) got = receive_all(fd, header, HEADER, deadline);
  if (got != ANSWERED) return got;
  output->length = get_u32(header + 12);
  if (memcmp(header, MAGIC, 8) != 0 || output->length > MAX_REPLY) return NO_AGENT;
  output->data = malloc(output->length + 1);
  if (!output->data) return NO_AGENT;
  *status = (int)get_u32(header + 8) & 0xff;
  return receive_all(fd, output->data, output->length, deadline);
}

/*
 * NO_AGENT: no agent that is trusted took the call, or it closed the connection without a reply.
 * TOO_LATE: an agent holds the connection, and may still carry out the call.
 */
enum answer ask_agent(const char *path, const struct bytes *input, int64_t deadline, struct bytes *output,
                      int *status) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= SOCKET_PATH_SIZE) return NO_AGENT;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return NO_AGENT;
  enum answer got = NO_AGENT;
  if (connect_until(fd, &address, deadline) < 0) {
    if (errno == ETIMEDOUT) got = TOO_LATE;
  } else if (is_trusted(fd)) {
    got = exchange(fd, input, deadline, output, status);
  }
  close(fd);
  return got;
}
