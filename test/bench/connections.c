/*
 * TCP connections a second, as a server and its clients see them.
 *
 *     connections serve ADDRESS PORT                      accepts, sends a byte, closes; until it is killed
 *     connections open ADDRESS PORT MILLISECONDS CLIENTS  prints how many connections a second were served
 *
 * A client opens a connection, reads a byte, resets the connection, and opens the next. After a
 * reset neither end waits for late packets (TIME_WAIT): a client has 28,000 ports for a minute.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 1024
#define LONGEST_S 5

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void fail(const char *what) {
  fprintf(stderr, "connections: %s: %s\n", what, strerror(errno));
  exit(2);
}

static void serve(const struct sockaddr_in *at) {
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (const struct sockaddr *)at, sizeof *at) < 0) fail("bind");
  if (listen(listener, BACKLOG) < 0) fail("listen");
  puts("listening");
  fflush(stdout);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    (void)!write(fd, "x", 1);
    close(fd);
  }
}

/* Returns whether a connection was served. */
static int once(const struct sockaddr_in *to) {
  struct timeval longest = {.tv_sec = LONGEST_S};
  struct linger reset = {.l_onoff = 1};
  char byte;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof longest);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof longest);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  int served = connect(fd, (const struct sockaddr *)to, sizeof *to) == 0 && read(fd, &byte, 1) == 1;
  close(fd);
  return served;
}

static void client(const struct sockaddr_in *to, double until, int out) {
  long counts[2] = {0, 0};
  while (now_ms() < until) counts[once(to)]++;
  if (write(out, counts, sizeof counts) != sizeof counts) fail("write");
  exit(0);
}

static void open_many(const struct sockaddr_in *to, double ms, int clients) {
  int ends[2];
  if (pipe(ends) < 0) fail("pipe");
  double began = now_ms();
  for (int i = 0; i < clients; i++)
    if (fork() == 0) client(to, began + ms, ends[1]);
  close(ends[1]);
  long counts[2], failed = 0, served = 0;
  while (read(ends[0], counts, sizeof counts) == sizeof counts) {
    failed += counts[0];
    served += counts[1];
  }
  while (wait(NULL) > 0);
  printf("%.0f %ld\n", (double)served / (now_ms() - began) * 1e3, failed);
}

int main(int argc, char **argv) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  if (argc < 4 || inet_pton(AF_INET, argv[2], &at.sin_addr) != 1) {
    fprintf(stderr, "usage: connections serve ADDRESS PORT | open ADDRESS PORT MILLISECONDS CLIENTS\n");
    return 2;
  }
  at.sin_port = htons((unsigned short)atoi(argv[3]));
  signal(SIGPIPE, SIG_IGN);
  if (strcmp(argv[1], "serve") == 0) serve(&at);
  if (argc == 6) open_many(&at, atof(argv[4]), atoi(argv[5]));
  return 0;
}
