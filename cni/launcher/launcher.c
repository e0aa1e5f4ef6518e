/*
 * The container runtime executes this launcher for each call. While the node agent runs, starting
 * the launcher costs about 1 ms, and starting Node would cost 60 to 140 ms. The launcher passes
 * environment and standard input to the agent, and copies the agent's reply.
 *
 * When no agent answers, or the configuration does not say plainly which one, the launcher runs the
 * Node plugin with the same input. All its own waits together stand within one deadline. An ADD
 * that the agent does not answer within it fails; the Node plugin finishes such a DEL.
 *
 *     launcher.c  this        config.c       which agent
 *     io.c        waits       agent.c        asking it
 *     reply.c     errors      node-plugin.c  running the Node plugin
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher.h"

/*
 * The kubelet allows four minutes for a pod's sandbox, and two for its end. The agent's own
 * deadlines together are below the longer one. cni/agent/client.ts has the same: change both.
 */
#ifndef DEADLINE_S
#define DEADLINE_S 90
#define DEL_DEADLINE_S 30
#endif
/* An agent that has nothing to do but to answer. */
#define PROBE_DEADLINE_S 5

static int is_del(void) {
  const char *verb = getenv("CNI_COMMAND");
  return verb && strcmp(verb, "DEL") == 0;
}

static int input_failed(const struct bytes *input) {
  const char *why = errno == 0           ? "is longer than 4 MiB"
                    : errno == ETIMEDOUT ? "has no end"
                                         : "cannot be read";
  char message[64];
  snprintf(message, sizeof message, "standard input %s", why);
  return print_error(input, 5, message, "The runtime passes the network configuration there.");
}

static int agent_is_late(const struct bytes *input) {
  char message[96];
  snprintf(message, sizeof message, "the agent of cellnet did not answer within %d s", DEADLINE_S);
  return print_error(input, 11, message, "Look at its log: journalctl -u cellnetd; restart it if it hangs.");
}

/* `--probe`: asks the agent for its versions, and tells by the exit status whether it answers. */
static int probe(void) {
  char question[] = "{\"cniVersion\":\"1.0.0\"}", named[SOCKET_PATH_SIZE];
  struct bytes input = {question, sizeof question - 1}, output = {0};
  int status;
  setenv("CNI_COMMAND", "VERSION", 1);
  const char *path = agent_path(&input, named);
  if (!path) return run_node_plugin(&input, "--probe");
  enum answer answer = ask_agent(path, &input, now_ms() + 1000 * PROBE_DEADLINE_S, &output, &status);
  if (answer == ANSWERED) return 0;
  fprintf(stderr, answer == TOO_LATE ? "the agent at %s did not answer within %d s\n" : "no agent answers at %s\n",
          path, PROBE_DEADLINE_S);
  return 1;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--probe") == 0) return probe();
  int64_t deadline = now_ms() + 1000 * (is_del() ? DEL_DEADLINE_S : DEADLINE_S);
  struct bytes input = {0}, output = {0};
  char named[SOCKET_PATH_SIZE];
  int status = 1;
  if (read_all(STDIN_FILENO, MAX_STDIN, deadline, &input) < 0) return input_failed(&input);
  const char *path = agent_path(&input, named);
  switch (path ? ask_agent(path, &input, deadline, &output, &status) : NO_AGENT) {
    case ANSWERED:
      return write_out(output.data, output.length, deadline) < 0 ? 1 : status;
    case TOO_LATE:
      return is_del() ? run_node_plugin(&input, "--agent-hangs") : agent_is_late(&input);
    default:
      return run_node_plugin(&input, NULL);
  }
}
