/*
 * Runs the Node plugin (../libexec/PLUGIN from the launcher's own folder) with the input that this
 * process has read. Waits for it, so that the runtime gets an answer also when Node cannot start.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"

static void find_plugin(char path[PATH_MAX + 32]) {
  ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
  path[length < 0 ? 0 : length] = '\0';
  for (int i = 0; i < 2; i++) {
    char *slash = strrchr(path, '/');
    if (slash) *slash = '\0';
  }
  strcat(path, "/libexec/" PLUGIN);
}

/* Returns a file in memory with the input, or -1. */
static int as_file(const struct bytes *input) {
  int fd = memfd_create("stdin", MFD_CLOEXEC);
  if (fd < 0) return -1;
  if (write(fd, input->data, input->length) == (ssize_t)input->length && lseek(fd, 0, SEEK_SET) == 0) return fd;
  close(fd);
  return -1;
}

/* In the child: becomes the plugin, which ends when the runtime kills the launcher. */
static void become(const char *path, const char *option, int input, int output, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent && dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0)
    execl(path, path, option, (char *)NULL);
  _exit(127);
}

/* Starts the plugin. Returns the end of the pipe where it answers, or -1. */
static int start(const char *path, const struct bytes *input, const char *option, pid_t *child) {
  int ends[2];
  int file = access(path, X_OK) == 0 ? as_file(input) : -1;
  if (file < 0 || pipe2(ends, O_CLOEXEC) < 0) return -1;
  pid_t parent = getpid();
  /* A runtime may have passed on that it ignores its children's end. */
  signal(SIGCHLD, SIG_DFL);
  *child = fork();
  if (*child == 0) become(path, option, file, ends[1], parent);
  close(file);
  close(ends[1]);
  return *child < 0 ? -1 : ends[0];
}

static int cannot_execute(const struct bytes *input, const char *path) {
  char message[PATH_MAX + 256];
  snprintf(message, sizeof message, "no agent of cellnet answers, and %s cannot be executed: %s", path,
           strerror(errno));
  return print_error(input, 5, message, "Install all of dist/, not this file alone; Node is needed in PATH.");
}

/* Node did not start, or ended in the middle. What it says about that is on standard error. */
static int no_answer(const struct bytes *input, const char *path, int status) {
  char message[PATH_MAX + 256], details[2048];
  const char *search = getenv("PATH"), *options = getenv("NODE_OPTIONS");
  int by_signal = WIFSIGNALED(status);
  snprintf(message, sizeof message, "%s ended with %s %d, and did not answer", path,
           by_signal ? "signal" : "status", by_signal ? WTERMSIG(status) : WEXITSTATUS(status));
  snprintf(details, sizeof details,
           "Standard error says why. Node 20 or later must be in PATH, which is '%.1000s'; NODE_OPTIONS is '%.500s'.",
           search ? search : "", options ? options : "");
  return print_error(input, 5, message, details);
}

/*
 * Returns the exit status.
 * option: an argument for the plugin, or NULL
 */
int run_node_plugin(const struct bytes *input, const char *option) {
  char path[PATH_MAX + 32];
  struct bytes output = {0};
  pid_t child = -1;
  int status = 0;
  find_plugin(path);
  int answer = start(path, input, option, &child);
  if (answer < 0) return cannot_execute(input, path);
  /* The plugin's own deadlines bound this wait. */
  int failed = read_all(answer, MAX_REPLY, NEVER, &output);
  close(answer);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (failed || exit_status < 0 || (exit_status != 0 && output.length == 0))
    return no_answer(input, path, status);
  return write_out(output.data, output.length, NEVER) < 0 ? 1 : exit_status;
}
