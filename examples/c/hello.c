/* A first program: open, set, get, release, close.
 *
 *     ln -sf libtokencache.so target/release/libtokencache.so.1
 *     cc examples/c/hello.c -I include -L target/release -ltokencache -o target/hello
 *     LD_LIBRARY_PATH=target/release target/hello
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokencache.h"

static const char *CONFIG =
    "{\"version\": 1,"
    " \"l2\": {\"kind\": \"sqlite\", \"path\": \"hello.db\"},"
    " \"encryption\": {\"algorithm\": \"none\"}}";

/* Below zero a call broke; above zero is an answer, which the caller reads. */
static tc_status check(tc_status status, const char *what) {
  if (status < 0) {
    fprintf(stderr, "%s: %s. %s\n", what, tc_status_name(status), tc_last_error());
    exit(1);
  }
  return status;
}

int main(void) {
  tc_cache *cache = NULL;
  check(tc_open(TC_ABI_VERSION, CONFIG, TC_NTS, &cache), "tc_open");

  const char *token = "made-up-token";
  tc_set_options options = TC_SET_OPTIONS;
  options.ttl_ms = 60 * 60 * 1000;
  if (check(tc_set(cache, "alice", TC_NTS, token, strlen(token), &options, NULL), "tc_set") == TC_DEGRADED) {
    puts("L2 is away; it is owed the write.");
  }

  const tc_value *value = NULL;
  switch (check(tc_get(cache, "alice", TC_NTS, &value), "tc_get")) {
  case TC_NOT_FOUND:
    puts("alice must sign in.");
    break;
  case TC_DEGRADED:
    puts("L2 is away; this was true when it was last asked.");
    /* fall through */
  default:
    printf("alice: %.*s, from L%d\n", (int)value->len, (const char *)value->data, (int)value->tier);
    tc_value_release(value);
  }

  if (check(tc_close(cache), "tc_close") == TC_DEGRADED) {
    puts("Closed with writes still owed to L2.");
  }
  return 0;
}
