/* Reading and writing until a deadline. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "launcher.h"

int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Returns 1 when the descriptor is ready or broken, 0 when the deadline has passed. */
int wait_for(int fd, short events, int64_t deadline) {
  for (;;) {
    struct pollfd waiting = {.fd = fd, .events = events};
    int64_t left = deadline == NEVER ? -1 : deadline - now_ms();
    if (deadline != NEVER && left < 0) left = 0;
    int ready = poll(&waiting, 1, left > INT_MAX ? INT_MAX : (int)left);
    if (ready > 0 || (ready < 0 && errno != EINTR)) return 1;
    if (deadline != NEVER && now_ms() >= deadline) return 0;
  }
}

/*
 * Reads to the end and appends a NUL. Returns -1 on an error or for more than `most` bytes, with
 * errno 0 in the latter case and ETIMEDOUT after the deadline.
 */
int read_all(int fd, size_t most, int64_t deadline, struct bytes *into) {
  size_t size = 16384;
  into->length = 0;
  into->data = malloc(size);
  while (into->data) {
    if (!wait_for(fd, POLLIN, deadline)) {
      errno = ETIMEDOUT;
      return -1;
    }
    ssize_t got = read(fd, into->data + into->length, size - into->length - 1);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return -1;
    into->length += (size_t)got;
    into->data[into->length] = '\0';
    if (got == 0) return 0;
    errno = 0;
    if (into->length > most) return -1;
    if (size - into->length < 2) into->data = realloc(into->data, size *= 2);
  }
  return -1;
}

/*
 * Writes to standard output. A pipe that is ready takes PIPE_BUF bytes without a wait. Returns -1
 * when the deadline has passed, or nobody reads.
 */
int write_out(const char *data, size_t length, int64_t deadline) {
  while (length > 0) {
    if (!wait_for(STDOUT_FILENO, POLLOUT, deadline)) return -1;
    ssize_t written = write(STDOUT_FILENO, data, length < PIPE_BUF ? length : PIPE_BUF);
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written < 0) return -1;
    data += written;
    length -= (size_t)written;
  }
  return 0;
}
