/* A process of a rotation: reads and writes at a pace, and tells what came of it when it is asked. See
 * tests/rotation/worker.py, which does the same. */
#include <poll.h>

#include "check.h"

enum { KEYS = 200, TIMES = 20, WRITER = 2, PERIOD_MS = 3 };

static tc_cache *cache;
static long reads, writes, moved, failed_reads, failed_writes, wrong, highest[4];

static size_t make_value(char *into, size_t room, int key, int writer, long number) {
  size_t length = 0;
  for (int i = 0; i < TIMES; i++)
    length += (size_t)snprintf(into + length, room - length, "key=%d writer=%d number=%ld;", key, writer, number);
  return length;
}

static void complain(long *counter, const char *what, tc_status status) {
  ++*counter;
  fprintf(stderr, "worker %d: %s: %s: %s\n", WRITER, what, tc_status_name(status), tc_last_error());
}

static void check_value(int key, const tc_value *value) {
  char expected[2048], text[128] = {0};
  int found = -1, writer = -1;
  long number = -1;
  memcpy(text, value->data, value->len < sizeof text ? value->len : sizeof text - 1);
  int parts = sscanf(text, "key=%d writer=%d number=%ld;", &found, &writer, &number);
  bool is_right = parts == 3 && found == key && writer >= 0 && writer < 4;
  is_right = is_right && make_value(expected, sizeof expected, key, writer, number) == value->len;
  is_right = is_right && memcmp(expected, value->data, value->len) == 0;
  if (!is_right) {
    complain(&wrong, text, TC_OK);
  } else if (number > highest[writer]) {
    highest[writer] = number;
  }
}

/* Stores it again, which seals it under the active key, unless somebody else has. */
static void move_value(const char *name, const tc_value *value) {
  tc_set_options options = TC_SET_OPTIONS;
  options.expected_version = value->version;
  tc_status status = tc_set(cache, name, TC_NTS, value->data, value->len, &options, NULL);
  if (status == TC_OK) moved++;
  else if (status != TC_CONFLICT) complain(&failed_writes, "move", status);
}

static void read_value(int key, const char *name) {
  const tc_value *value = NULL;
  tc_status status = tc_get(cache, name, TC_NTS, &value);
  reads++;
  if (status != TC_OK) {
    complain(&failed_reads, "read", status);
  } else {
    check_value(key, value);
    if (value->flags & TC_VALUE_RETIRED_KEY) move_value(name, value);
  }
  tc_value_release(value);
}

static void write_value(int key, const char *name) {
  char data[2048];
  size_t length = make_value(data, sizeof data, key, WRITER, ++writes);
  tc_status status = tc_set(cache, name, TC_NTS, data, length, NULL, NULL);
  if (status != TC_OK) complain(&failed_writes, "write", status);
}

static void answer(void) {
  const tc_value *stats = NULL;
  IS(TC_OK, tc_stats(cache, &stats));
  printf("{\"reads\": %ld, \"writes\": %ld, \"moved\": %ld, \"failed_reads\": %ld, \"failed_writes\": %ld, "
         "\"wrong\": %ld, \"highest\": [%ld, %ld, %ld, %ld], \"stats\": %.*s}\n",
         reads, writes, moved, failed_reads, failed_writes, wrong, highest[0], highest[1], highest[2], highest[3],
         (int)stats->len, (const char *)stats->data);
  fflush(stdout);
  tc_value_release(stats);
}

/* Whether somebody asks within `ms`; ends the program when nobody will any more. */
static bool is_asked(int64_t ms) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  char line[64];
  if (poll(&input, 1, ms > 0 ? (int)ms : 0) <= 0) return false;
  if (fgets(line, sizeof line, stdin) != NULL) return true;
  IS(TC_OK, tc_close(cache));
  exit(0);
}

void run(void) {
  unsigned chance = WRITER;
  int64_t due = now_ms();
  IS(TC_OK, tc_open(TC_ABI_VERSION, chosen, TC_NTS, &cache));
  for (;;) {
    due += PERIOD_MS;
    if (due < now_ms() - 1000) due = now_ms() - 1000;
    while (is_asked(due - now_ms())) answer();
    char name[16];
    int key = (int)(rand_r(&chance) % KEYS);
    snprintf(name, sizeof name, "k%d", key);
    if (rand_r(&chance) % 4 == 0) write_value(key, name);
    else read_value(key, name);
  }
}
