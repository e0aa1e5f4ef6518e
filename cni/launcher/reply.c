/* The launcher's own errors (CNI SPEC section 5 "Error"). */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "launcher.h"

/* A pipe that nobody reads must not hold the launcher. */
#define WRITE_WITHIN_MS 5000

/* Appends a JSON string. Replaces a byte that JSON would not take as it is. */
static char *put_text(char *to, const char *end, const char *text) {
  *to++ = '"';
  for (; *text && to < end - 3; text++) {
    if (*text == '"' || *text == '\\') *to++ = '\\';
    *to++ = *text >= ' ' && *text <= '~' ? *text : '?';
  }
  *to++ = '"';
  return to;
}

/*
 * Prints the error in the version of the configuration, or 1.0.0 without one. Returns the exit
 * status.
 */
int print_error(const struct bytes *input, int code, const char *message, const char *details) {
  char version[16] = "1.0.0", reply[8192], *end = reply + sizeof reply;
  const char *at = input->data ? memmem(input->data, input->length, "\"cniVersion\"", 12) : NULL;
  if (at) sscanf(at + 12, " : \"%15[0-9.]\"", version);
  char *to = reply + sprintf(reply, "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":", version, code);
  to = mempcpy(put_text(to, reply + sizeof reply / 2, message), ",\"details\":", 11);
  to = mempcpy(put_text(to, end - 2, details), "}\n", 2);
  write_out(reply, (size_t)(to - reply), now_ms() + WRITE_WITHIN_MS);
  return 1;
}
