/* One machine of a scene, on its command line: `set DOCUMENT KEY VALUE TTL_MS`, or `get DOCUMENT KEY VALUE STATUS`
 * and then what the last error says, or `stats:` and what the statistics come to say. Driven by tests/seal_scenes.rs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tokencache.h"

static const char *const STATS = "stats:";

static void expect(int is_so, const char *what, const char *got) {
  if (is_so) return;
  fprintf(stderr, "not so: %s; but: %s; last error: %s\n", what, got, tc_last_error());
  exit(1);
}

static void expect_status(const char *expected, tc_status got) {
  expect(strcmp(tc_status_name(got), expected) == 0, expected, tc_status_name(got));
}

/* What is learnt of peers comes when it comes. */
static void expect_stats(tc_cache *cache, const char *words) {
  for (int tries = 0;; tries++) {
    const tc_value *json = NULL;
    expect_status("TC_OK", tc_stats(cache, &json));
    char *text = strndup(json->data, json->len);
    tc_value_release(json);
    expect(text != NULL, "there is memory", "none");
    int is_there = strstr(text, words) != NULL;
    expect(is_there || tries < 6000, words, text);
    free(text);
    if (is_there) return;
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
}

static void set(tc_cache *cache, char **arguments) {
  tc_set_options options = {.struct_size = sizeof options, .ttl_ms = strtoll(arguments[2], NULL, 10)};
  expect_status("TC_OK", tc_set(cache, arguments[0], TC_NTS, arguments[1], strlen(arguments[1]), &options, NULL));
}

static void get(tc_cache *cache, char **arguments, int count) {
  const char *value = arguments[1], *expected = arguments[2];
  const tc_value *got = NULL;
  tc_status status = tc_get(cache, arguments[0], TC_NTS, &got);
  expect_status(expected, status);
  expect((got != NULL) == (status == TC_OK), "there is a value where there was no refusal", tc_status_name(status));
  if (got) {
    expect(got->len == strlen(value) && memcmp(got->data, value, got->len) == 0, value, "other bytes");
    tc_value_release(got);
  }
  /* All of them before the statistics, which are calls of their own. */
  for (int at = 3; at < count; at++)
    if (strncmp(arguments[at], STATS, strlen(STATS)) != 0)
      expect(strstr(tc_last_error(), arguments[at]) != NULL, arguments[at], "the message is another one");
  for (int at = 3; at < count; at++)
    if (strncmp(arguments[at], STATS, strlen(STATS)) == 0) expect_stats(cache, arguments[at] + strlen(STATS));
}

int main(int argc, char **argv) {
  expect(argc >= 6, "a verb, a document, a key, a value, and what is to be", "fewer arguments");
  tc_cache *cache = NULL;
  expect_status("TC_OK", tc_open(TC_ABI_VERSION, argv[2], TC_NTS, &cache));
  if (strcmp(argv[1], "set") == 0)
    set(cache, argv + 3);
  else
    get(cache, argv + 3, argc - 3);
  expect_status("TC_OK", tc_close(cache));
  return 0;
}
