/* Finds the agent's socket: environment, then the network configuration, then the shared file. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher.h"

#define DEFAULT_SOCKET "/run/cellnet/agent.sock"
#define DEFAULT_CONFIG "/etc/cellnet/config.json"

/* What a configuration says with its key "agent". UNCLEAR: `false`, or what only Node understands. */
enum agent_key { NOT_NAMED, NAMED, UNCLEAR };

struct string {
  const char *start;
  size_t length;
  /* Whether the bytes are the text: printable ASCII, and no escape. */
  int plain;
};

/* Reads a JSON string after its opening quote. Returns the place after it, NULL when it has no end. */
static const char *read_string(const char *at, const char *end, struct string *into) {
  into->start = at;
  into->plain = 1;
  for (; at < end && *at != '"'; at++) {
    if (*at < ' ' || *at > '~' || *at == '\\') into->plain = 0;
    if (*at == '\\') at++;
  }
  if (at >= end) return NULL;
  into->length = (size_t)(at - into->start);
  return at + 1;
}

/* The text ends with a NUL, which is no space. */
static const char *skip_space(const char *at) {
  while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r') at++;
  return at;
}

static enum agent_key read_value(const char *at, const char *end, char path[SOCKET_PATH_SIZE]) {
  struct string value;
  if (strncmp(at, "null", 4) == 0) return NOT_NAMED;
  if (*at != '"' || !read_string(at + 1, end, &value)) return UNCLEAR;
  if (!value.plain || value.length == 0 || value.length >= SOCKET_PATH_SIZE) return UNCLEAR;
  memcpy(path, value.start, value.length);
  path[value.length] = '\0';
  return NAMED;
}

/*
 * Finds key "agent" of the JSON object itself: a network of that name, or a key of an inner object,
 * says nothing about the socket. Copies its value when that is a plain string.
 */
static enum agent_key find_agent(const struct bytes *json, char path[SOCKET_PATH_SIZE]) {
  const char *at = json->data, *end = json->data + json->length;
  enum agent_key found = NOT_NAMED;
  int depth = 0, times = 0;
  struct string key;
  while (at < end) {
    char c = *at++;
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') depth--;
    if (c != '"') continue;
    if (!(at = read_string(at, end, &key))) return UNCLEAR;
    const char *next = skip_space(at);
    if (depth != 1 || *next != ':') continue;
    if (!key.plain) return UNCLEAR;
    if (key.length != 5 || memcmp(key.start, "agent", 5) != 0) continue;
    found = read_value(skip_space(next + 1), end, path);
    if (++times > 1) return UNCLEAR;
  }
  return found;
}

/*
 * Reads the shared file. UNCLEAR for what is no regular file or cannot be read, too: the Node plugin
 * reports the error. A FIFO would otherwise block this process.
 */
static enum agent_key find_in_shared_file(char path[SOCKET_PATH_SIZE]) {
  const char *file = getenv("CELLNET_CONFIG");
  struct bytes text = {0};
  struct stat kind;
  int fd = open(file && *file ? file : DEFAULT_CONFIG, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return errno == ENOENT ? NOT_NAMED : UNCLEAR;
  enum agent_key found = UNCLEAR;
  if (fstat(fd, &kind) == 0 && S_ISREG(kind.st_mode) && read_all(fd, MAX_STDIN, NEVER, &text) == 0)
    found = find_agent(&text, path);
  close(fd);
  free(text.data);
  return found;
}

/* Returns the path of the agent's socket, or NULL when the Node plugin must find out. */
const char *agent_path(const struct bytes *input, char path[SOCKET_PATH_SIZE]) {
  const char *variable = getenv("CELLNET_AGENT");
  if (variable && *variable) return strcmp(variable, "false") == 0 ? NULL : variable;
  enum agent_key found = find_agent(input, path);
  if (found == NOT_NAMED) found = find_in_shared_file(path);
  if (found == UNCLEAR) return NULL;
  return found == NAMED ? path : DEFAULT_SOCKET;
}
