/* Goes through everything that a cache does with the secrets of its folder, and writes down all that the library says.
 * "said": on each document of the folder in turn, whatever comes of it. "core": on one, stopping while it is open and
 * when it is closed, with no copy of a secret in a buffer of its own. */
#include "check.h"

#include <fcntl.h>
#include <unistd.h>

enum { ROOM = 8192 };

static FILE *said;

struct text {
  char bytes[ROOM];
  size_t length;
};

/* Not through stdio, whose buffers would keep it. */
static bool load(struct text *into, const char *name) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  int file = open(path, O_RDONLY);
  if (file < 0) return false;
  ssize_t length = read(file, into->bytes, ROOM - 1);
  close(file);
  CHECK(length > 0);
  into->length = (size_t)length;
  into->bytes[length] = 0;
  return true;
}

static tc_status tell(const char *what, tc_status status) {
  fprintf(said, "%s: %s: %s\n", what, tc_status_name(status), tc_last_error());
  return status;
}

static void on_log(void *user_data, tc_level level, const char *target, const char *message) {
  (void)user_data;
  fprintf(said, "log %d %s: %s\n", level, target, message);
}

static void on_done(void *user_data, const tc_result *result) {
  fprintf(said, "done: %s: %s\n", tc_status_name(result->status), result->message);
  atomic_fetch_add((atomic_int *)user_data, 1);
}

static tc_decision on_retry(void *user_data, const tc_failure *failure, uint32_t *delay_ms) {
  (void)user_data, (void)delay_ms;
  fprintf(said, "retry: %s: %s\n", tc_status_name(failure->status), failure->message);
  return TC_DECISION_GIVE_UP;
}

/* Reads and lets go. */
static void fetch(tc_cache *cache, const char *what, const struct text *key) {
  const tc_value *value = NULL;
  tell(what, tc_get(cache, key->bytes, key->length, &value));
  tc_value_release(value);
  value = NULL;
  tell("peek", tc_peek(cache, key->bytes, key->length, &value));
  tc_value_release(value);
}

static void unprotect(tc_cache *cache, const char *what, const struct text *key, const void *data, size_t length) {
  const tc_value *value = NULL;
  if (tell(what, tc_unprotect(cache, key->bytes, key->length, data, length, &value)) == TC_OK) tc_value_release(value);
}

static void seal_by_hand(tc_cache *cache, const struct text *key, const struct text *value) {
  const tc_value *envelope = NULL;
  unprotect(cache, "unprotect what nobody sealed", key, value->bytes, value->length);
  if (tell("protect", tc_protect(cache, key->bytes, key->length, value->bytes, value->length, &envelope)) != TC_OK) {
    return;
  }
  struct text copy = {.length = envelope->len}, other = {.bytes = "other", .length = 5};
  memcpy(copy.bytes, envelope->data, copy.length);
  tc_value_release(envelope);
  unprotect(cache, "unprotect", key, copy.bytes, copy.length);
  unprotect(cache, "unprotect elsewhere", &other, copy.bytes, copy.length);
  unprotect(cache, "unprotect a part", key, copy.bytes, copy.length - 1);
  copy.bytes[copy.length - 20] ^= 1;
  unprotect(cache, "unprotect what was altered", key, copy.bytes, copy.length);
}

static void write_over(tc_cache *cache, const struct text *key, const struct text *value) {
  tc_set_options options = TC_SET_OPTIONS;
  uint64_t version = 0;
  tell("set", tc_set(cache, key->bytes, key->length, value->bytes, value->length, NULL, &version));
  fetch(cache, "get what was set", key);
  options.expected_version = version + 1;
  tell("compare", tc_set(cache, key->bytes, key->length, value->bytes, value->length, &options, NULL));
  options = (tc_set_options)TC_SET_OPTIONS;
  options.sliding_ms = 3600000;
  tell("slide", tc_set(cache, key->bytes, key->length, value->bytes, value->length, &options, NULL));
  tell("touch", tc_touch(cache, key->bytes, key->length));
  tell("clear", tc_clear(cache));
  fetch(cache, "get from L2", key);
}

static void refuse(tc_cache *cache, const struct text *key, const struct text *value) {
  static struct text long_key;
  for (long_key.length = 0; long_key.length + key->length < ROOM; long_key.length += key->length)
    memcpy(long_key.bytes + long_key.length, key->bytes, key->length);
  tell("a long key", tc_remove(cache, long_key.bytes, long_key.length));
  size_t length = (size_t)snprintf(long_key.bytes, ROOM, "__tokencache:%s", key->bytes);
  tell("a key of the library", tc_remove(cache, long_key.bytes, length));
  char small[8];
  tell("a small buffer", tc_get_into(cache, key->bytes, key->length, small, sizeof small, &length));
  tell("a value as a document", tc_configure(cache, value->bytes, value->length));
  struct text document;
  char name[32];
  for (int i = 0; snprintf(name, sizeof name, "refused-%d.json", i) > 0 && load(&document, name); i++)
    tell(name, tc_configure(cache, document.bytes, document.length));
  explicit_bzero(&document, sizeof document);
  explicit_bzero(&long_key, sizeof long_key);
}

static void in_the_background(tc_cache *cache, const struct text *key, const struct text *value) {
  atomic_int done = 0;
  int accepted = 0;
  accepted += tc_set_async(cache, key->bytes, key->length, value->bytes, value->length, NULL, on_done, &done) == TC_OK;
  accepted += tc_get_async(cache, key->bytes, key->length, on_done, &done) == TC_OK;
  UNTIL(atomic_load(&done) == accepted);
}

static void exercise(tc_cache *cache) {
  struct text key, value;
  CHECK(load(&key, "key") && load(&value, "value"));
  tell("on_log", tc_on_log(cache, TC_LEVEL_DEBUG, on_log, NULL, NULL));
  tell("on_retry", tc_on_retry(cache, on_retry, NULL, NULL));
  fetch(cache, "get what others left", &key);
  write_over(cache, &key, &value);
  tell("remove", tc_remove(cache, key.bytes, key.length));
  fetch(cache, "get what was removed", &key);
  in_the_background(cache, &key, &value);
  seal_by_hand(cache, &key, &value);
  refuse(cache, &key, &value);
  tell("flush", tc_flush(cache, 1000));
  /* Left in both tiers. */
  tell("set at last", tc_set(cache, key.bytes, key.length, value.bytes, value.length, NULL, NULL));
  const tc_value *stats = NULL;
  IS(TC_OK, tc_stats(cache, &stats));
  fprintf(said, "stats: %.*s\n", (int)stats->len, (const char *)stats->data);
  tc_value_release(stats);
  explicit_bzero(&value, sizeof value);
  explicit_bzero(&key, sizeof key);
}

/* Whether there is such a document; null for one that is refused. */
static bool open_one(const char *name, tc_cache **cache) {
  struct text document;
  *cache = NULL;
  if (!load(&document, name)) return false;
  tell(name, tc_open(TC_ABI_VERSION, document.bytes, document.length, cache));
  explicit_bzero(&document, sizeof document);
  return true;
}

/* What was copied last is still in the registers that copied it, which are the caller's. */
static void wipe_registers(void) {
  static char from[ROOM], to[ROOM];
  for (volatile size_t length = 64; length <= 1024; length += 16) memcpy(to, from, length);
}

/* Until the test has looked. */
static void stop(const char *word) {
  char byte;
  wipe_registers();
  CHECK(write(1, word, strlen(word)) > 0 && read(0, &byte, 1) == 1);
}

static void stop_open_and_closed(void) {
  tc_cache *cache = NULL;
  CHECK(open_one("0.json", &cache) && cache != NULL);
  exercise(cache);
  stop("open\n");
  tell("close", tc_close(cache));
  stop("closed\n");
}

static void go_through_all(void) {
  char name[32];
  tc_cache *cache = NULL;
  for (int i = 0; snprintf(name, sizeof name, "%d.json", i) > 0 && open_one(name, &cache); i++) {
    if (cache == NULL) continue;
    exercise(cache);
    tell("close", tc_close(cache));
  }
}

void run(void) {
  char path[512];
  snprintf(path, sizeof path, "%s/said", folder);
  CHECK((said = fopen(path, "w")) != NULL);
  strcmp(chosen, "core") == 0 ? stop_open_and_closed() : go_through_all();
  CHECK(fclose(said) == 0);
}
