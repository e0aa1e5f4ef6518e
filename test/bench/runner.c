/*
 * Executes programs as a container runtime does, all at once, and reports how long each took. The
 * runtime's fork shares its memory until the exec (posix_spawn). Node's fork copies its page
 * tables, which adds about 2 ms to every call.
 *
 *     runner JOBS
 *
 * JOBS is a file of NUL-terminated strings. For each job it holds the program, its arguments, an
 * empty string, its environment, an empty string, the file for standard input and the file for
 * standard output and error.
 *
 * Prints for each job, in order, the milliseconds from its fork until its exit was seen and its
 * exit status (128 + a signal number); then the milliseconds from the first fork to the last exit.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_JOBS 1024
#define MAX_STRINGS 256

struct job {
  char *arguments[MAX_STRINGS], *environment[MAX_STRINGS];
  posix_spawn_file_actions_t files;
  pid_t pid;
  double started, ended;
  int status;
};

static struct job jobs[MAX_JOBS];

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void fail(const char *what, int error) {
  fprintf(stderr, "runner: %s: %s\n", what, strerror(error));
  exit(2);
}

/* Collects strings up to an empty one and returns the position after it. */
static char *strings(char *at, char **into) {
  int n = 0;
  for (; *at; at += strlen(at) + 1) {
    if (n == MAX_STRINGS - 1) fail("a job has too many strings", E2BIG);
    into[n++] = at;
  }
  return at + 1;
}

static int read_jobs(const char *path) {
  struct stat of;
  int fd = open(path, O_RDONLY), count = 0;
  if (fd < 0 || fstat(fd, &of) < 0) fail(path, errno);
  char *text = calloc(1, (size_t)of.st_size + 4), *at = text;
  if (!text || read(fd, text, (size_t)of.st_size) != of.st_size) fail(path, errno ? errno : EIO);
  close(fd);
  while (at < text + of.st_size) {
    if (count == MAX_JOBS) fail("too many jobs", E2BIG);
    struct job *job = &jobs[count++];
    at = strings(at, job->arguments);
    at = strings(at, job->environment);
    char *input = at, *output = input + strlen(input) + 1;
    at = output + strlen(output) + 1;
    posix_spawn_file_actions_init(&job->files);
    posix_spawn_file_actions_addopen(&job->files, 0, input, O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&job->files, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&job->files, 1, 2);
  }
  return count;
}

int main(int argc, char **argv) {
  if (argc != 2) fail("usage: runner JOBS", EINVAL);
  int count = read_jobs(argv[1]), left = 0;
  for (; left < count; left++) {
    struct job *job = &jobs[left];
    job->started = now_ms();
    int error = posix_spawnp(&job->pid, job->arguments[0], &job->files, NULL, job->arguments, job->environment);
    if (error) fail(job->arguments[0], error);
  }
  double last = 0;
  while (left > 0) {
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0) fail("waitpid", errno);
    last = now_ms();
    for (int i = 0; i < count; i++) {
      if (jobs[i].pid != pid) continue;
      jobs[i].ended = last;
      jobs[i].status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      left--;
    }
  }
  for (int i = 0; i < count; i++) printf("%.3f %d\n", jobs[i].ended - jobs[i].started, jobs[i].status);
  printf("%.3f\n", last - jobs[0].started);
  return 0;
}
