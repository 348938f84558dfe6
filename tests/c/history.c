/* A worker of a history (tests/support/history.rs): reads and writes values that say which write they are, until so
 * many operations are done or its input ends, and notes each in the file `log` of its folder, where `document.json` is.
 * What it is asked for: "<number> <seed> <keys> <operations> <operations a second> <mixed|final>"; 0 is without end. */
#include "check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 6000, SHORTEST = 200 };

static struct {
  unsigned number, keys, pace;
  uint64_t seed, operations;
  char role[8];
} orders;

static tc_cache *cache;
static int log_file;
static unsigned written;

/* What a read saw. */
struct seen {
  tc_status status;
  tc_tier tier;
  uint64_t version;
  /* Of the value, as the log has it. */
  unsigned writer, sequence;
  char words[48];
};

static int64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * (int64_t)1000000000 + time.tv_nsec;
}

static uint64_t random_below(uint64_t limit) {
  orders.seed += 0x9E3779B97F4A7C15u;
  uint64_t mixed = (orders.seed ^ orders.seed >> 30) * 0xBF58476D1CE4E5B9u;
  mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
  return (mixed ^ mixed >> 31) % limit;
}

/* A whole line by one call, so that a kill leaves no half of one that others follow. */
static void note(const char *format, ...) {
  char line[256];
  va_list words;
  va_start(words, format);
  int length = vsnprintf(line, sizeof line, format, words);
  va_end(words);
  CHECK(length < (int)sizeof line && write(log_file, line, length) == length);
}

static int name(char *into, unsigned key) { return sprintf(into, "history-%u", key); }

/* The tag over and over, so that no part of a value can be another's unseen. */
static size_t make_value(char *value, unsigned key, int64_t ttl_ms) {
  size_t length = SHORTEST + random_below(LONGEST - SHORTEST);
  int64_t ends_unix_ms = ttl_ms ? unix_ms() + ttl_ms : 0, ends_ns = ttl_ms ? now_ns() + ttl_ms * 1000000 : 0;
  int period = snprintf(value, LONGEST, "%u %u %u %" PRId64 " %" PRId64 " %zu\n", key, orders.number, written,
                        ends_unix_ms, ends_ns, length);
  for (size_t at = period; at < length; at++) value[at] = value[at - period];
  return length;
}

static void see(struct seen *seen, const char *value, size_t length) {
  char tag[128] = "";
  const char *end = memchr(value, '\n', length < sizeof tag ? length : sizeof tag - 1);
  unsigned key;
  size_t said;
  strcpy(seen->words, "? ? ?");
  if (end == NULL) return;
  size_t period = end + 1 - value;
  memcpy(tag, value, period);
  if (sscanf(tag, "%u %u %u %*d %*d %zu", &key, &seen->writer, &seen->sequence, &said) != 4) return;
  if (said != length || memcmp(value, value + period, length - period) != 0) return;
  snprintf(seen->words, sizeof seen->words, "%u %u %u", key, seen->writer, seen->sequence);
}

static struct seen look(unsigned key, bool into_buffer) {
  static char buffer[LONGEST];
  char key_name[32];
  int key_length = name(key_name, key);
  struct seen seen = {.words = "- - -"};
  const tc_value *value = NULL;
  size_t length = 0;
  int64_t begin_ns = now_ns();
  seen.status = into_buffer ? tc_get_into(cache, key_name, key_length, buffer, sizeof buffer, &length)
                            : tc_get(cache, key_name, key_length, &value);
  int64_t end_ns = now_ns();
  if (value != NULL) {
    seen.tier = value->tier;
    seen.version = value->version;
    see(&seen, value->data, value->len);
    tc_value_release(value);
  } else if (seen.status == TC_OK || seen.status == TC_DEGRADED) {
    see(&seen, buffer, length);
  }
  note("r %u %" PRId64 " %" PRId64 " %d %d %" PRIu64 " %s\n", key, begin_ns, end_ns, seen.status, seen.tier,
       seen.version, seen.words);
  return seen;
}

/* `base` is what a swap replaces. */
static void store(unsigned key, int64_t ttl_ms, int64_t sliding_ms, const struct seen *base) {
  static char value[LONGEST];
  char key_name[32], base_words[32] = "- -";
  int key_length = name(key_name, key);
  size_t length = make_value(value, key, ttl_ms);
  tc_set_options options = TC_SET_OPTIONS;
  options.ttl_ms = ttl_ms;
  options.sliding_ms = sliding_ms;
  uint64_t version = 0;
  if (base != NULL) {
    bool is_absent = base->status == TC_NOT_FOUND;
    options.expected_version = is_absent ? TC_VERSION_ABSENT : base->version;
    if (!is_absent) snprintf(base_words, sizeof base_words, "%u %u", base->writer, base->sequence);
  }
  note("b %u %s %u %" PRId64 " %" PRId64 " %" PRId64 " %" PRIu64 " %s\n", written, base ? "swap" : "set", key,
       now_ns(), ttl_ms, sliding_ms, options.expected_version, base_words);
  tc_status status = tc_set(cache, key_name, key_length, value, length, &options, &version);
  note("e %u %" PRId64 " %d %" PRIu64 "\n", written++, now_ns(), status, version);
}

static void take_away(unsigned key) {
  char key_name[32];
  int key_length = name(key_name, key);
  note("b %u remove %u %" PRId64 " 0 0 0 - -\n", written, key, now_ns());
  tc_status status = tc_remove(cache, key_name, key_length);
  note("e %u %" PRId64 " %d 0\n", written++, now_ns(), status);
}

static void compare_and_swap(unsigned key) {
  struct seen seen = look(key, false);
  bool is_known = seen.status == TC_OK || seen.status == TC_DEGRADED;
  if (seen.status == TC_NOT_FOUND || (is_known && seen.words[0] != '?')) store(key, 0, 0, &seen);
}

static void operate(void) {
  /* Of two, the lower: some keys are hot. */
  unsigned one = random_below(orders.keys), other = random_below(orders.keys), key = one < other ? one : other;
  unsigned choice = random_below(100);
  if (choice < 70) look(key, choice < 15);
  else if (choice < 82) store(key, 0, 0, NULL);
  else if (choice < 91) compare_and_swap(key);
  else if (choice < 94) take_away(key);
  else if (choice < 97) store(key, 20 + random_below(400), 0, NULL);
  else store(key, 2000, 200 + random_below(600), NULL);
}

static bool is_over(uint64_t done) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  return (orders.operations != 0 && done >= orders.operations) || poll(&input, 1, 0) != 0;
}

static void keep_pace(int64_t begin_ns, uint64_t done) {
  if (orders.pace == 0) return;
  int64_t due_ns = begin_ns + (int64_t)(done * 1000000000 / orders.pace);
  struct timespec due = {.tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static void in_folder(char *path, size_t size, const char *file) { snprintf(path, size, "%s/%s", folder, file); }

static void open_all(void) {
  static char document[65536];
  char path[512];
  in_folder(path, sizeof path, "log");
  log_file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600);
  CHECK(log_file >= 0);
  in_folder(path, sizeof path, "document.json");
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  size_t length = fread(document, 1, sizeof document, file);
  fclose(file);
  IS(TC_OK, tc_open(TC_ABI_VERSION, document, length, &cache));
}

void run(void) {
  int words = sscanf(chosen, "%u %" SCNu64 " %u %" SCNu64 " %u %7s", &orders.number, &orders.seed, &orders.keys,
                     &orders.operations, &orders.pace, orders.role);
  CHECK(words == 6);
  bool is_final = strcmp(orders.role, "final") == 0;
  open_all();
  note("worker %u%s\n", orders.number, is_final ? " final" : "");
  int64_t begin_ns = now_ns();
  if (is_final) {
    for (unsigned key = 0; key < orders.keys; key++) look(key, false);
  } else {
    for (uint64_t done = 0; !is_over(done); done++) {
      operate();
      keep_pace(begin_ns, done + 1);
    }
  }
  tc_status closed = tc_close(cache);
  CHECK(closed == TC_OK || closed == TC_DEGRADED);
  note("q %" PRId64 "\n", now_ns());
}
