/* The conformance script through the C header. README.md describes it. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tokencache.h"

enum { MAX_FIELDS = 10, MAX_NAMES = 64, MANY = 64 };

typedef struct {
  unsigned char *data;
  size_t len;
} bytes;

static struct {
  char name[32];
  uint64_t version;
} captured[MAX_NAMES] = {{"zero", 0}, {"absent", TC_VERSION_ABSENT}};
static int captured_count = 2;

static tc_cache *cache;
static const char *document;
static int line_number;

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "line %d: %s\n", line_number, what);
  exit(2);
}

static int64_t clock_ms(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * (int64_t)1000 + time.tv_nsec / 1000000;
}

static int64_t number(const char *text) {
  char *end;
  int64_t value = (int64_t)strtoull(text, &end, 10);
  if (end == text || *end) fail("not a number");
  return value;
}

static void *allocate(size_t len) {
  void *data = malloc(len + 1);
  if (!data) fail("no memory");
  return data;
}

static bytes from_hex(const char *hex) {
  bytes out = {allocate(strlen(hex) / 2), strlen(hex) / 2};
  for (size_t i = 0; i < out.len; i++) {
    unsigned byte;
    if (sscanf(hex + 2 * i, "%2x", &byte) != 1) fail("not hex");
    out.data[i] = (unsigned char)byte;
  }
  return out;
}

static bytes decode(const char *field) {
  if (strcmp(field, "-") == 0) return from_hex("");
  if (strncmp(field, "x:", 2) == 0) return from_hex(field + 2);
  size_t digits = strspn(field, "0123456789");
  if (digits > 0 && field[digits] == '*') {
    bytes pattern = from_hex(field + digits + 1);
    size_t len = strtoul(field, NULL, 10);
    bytes out = {allocate(len), len};
    for (size_t i = 0; i < len; i++) out.data[i] = pattern.data[i % pattern.len];
    free(pattern.data);
    return out;
  }
  bytes out = {allocate(strlen(field)), strlen(field)};
  memcpy(out.data, field, out.len);
  return out;
}

static void print_bytes(const void *data, size_t len) {
  const unsigned char *byte = data;
  printf(" value=%s", len == 0 ? "-" : len <= MANY ? "x:" : "");
  if (len <= MANY) {
    for (size_t i = 0; i < len; i++) printf("%02x", byte[i]);
    return;
  }
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < len; i++) hash = (hash ^ byte[i]) * 0x100000001b3;
  printf("%zu#%016" PRIx64, len, hash);
}

static tc_status print_status(tc_status status) {
  printf("%s", tc_status_name(status) + strlen("TC_"));
  return status;
}

static uint64_t version_of(const char *name) {
  for (int i = 0; i < captured_count; i++) {
    if (strcmp(captured[i].name, name) == 0) return captured[i].version;
  }
  fail("this version was never captured");
}

static void capture(const char *name, uint64_t version) {
  int i = 0;
  while (i < captured_count && strcmp(captured[i].name, name) != 0) i++;
  if (i == MAX_NAMES) fail("too many names");
  if (i == captured_count) captured_count++;
  snprintf(captured[i].name, sizeof captured[i].name, "%s", name);
  captured[i].version = version;
}

/* What follows `name=` among the options, or null. */
static const char *option(char **options, const char *name) {
  for (size_t len = strlen(name); *options; options++) {
    if (strncmp(*options, name, len) == 0) return *options + len;
  }
  return NULL;
}

static void set(bytes key, char **fields) {
  tc_set_options options = TC_SET_OPTIONS;
  const char *as = NULL;
  uint64_t version = 0;
  for (char **field = fields + 1; *field; field++) {
    char *one[] = {*field, NULL};
    const char *rest;
    if (strcmp(*field, "local") == 0) {
      options.flags |= TC_LOCAL_ONLY;
    } else if ((rest = option(one, "ttl="))) {
      options.ttl_ms = strcmp(rest, "never") == 0 ? TC_NEVER : number(rest);
    } else if ((rest = option(one, "expires="))) {
      options.expires_at_ms = clock_ms(CLOCK_REALTIME) + number(rest);
    } else if ((rest = option(one, "sliding="))) {
      options.sliding_ms = number(rest);
    } else if ((rest = option(one, "if="))) {
      options.expected_version = version_of(rest);
    } else if ((rest = option(one, "flags="))) {
      options.flags |= (uint64_t)number(rest);
    } else if (!(as = option(one, "as="))) {
      fail("an unknown option");
    }
  }
  bytes value = decode(fields[0]);
  tc_status status = tc_set(cache, (char *)key.data, key.len, value.data, value.len, &options, &version);
  if (print_status(status) == TC_OK && as) capture(as, version);
  free(value.data);
}

static void get(bytes key, char **options, tc_status (*read)(tc_cache *, const char *, size_t, const tc_value **)) {
  static const char *const tiers[] = {"none", "l1", "l2"};
  const tc_value *value = NULL;
  const char *as = option(options, "as=");
  print_status(read(cache, (char *)key.data, key.len, &value));
  if (!value) return;
  print_bytes(value->data, value->len);
  printf(" tier=%s flags=%" PRIu32, tiers[value->tier], value->flags);
  if (as) capture(as, value->version);
  tc_value_release(value);
}

static void get_into(bytes key, size_t size) {
  unsigned char *buffer = allocate(size);
  size_t len = 0;
  tc_status status = print_status(tc_get_into(cache, (char *)key.data, key.len, buffer, size, &len));
  if (status == TC_OK) print_bytes(buffer, len);
  if (status == TC_BUFFER_TOO_SMALL) printf(" length=%zu", len);
  free(buffer);
}

static void remaining(bytes key, int64_t low, int64_t high) {
  const tc_value *value = NULL;
  print_status(tc_get(cache, (char *)key.data, key.len, &value));
  if (!value) return;
  int64_t left = value->expires_at_ms - clock_ms(CLOCK_REALTIME);
  printf(" %s", value->expires_at_ms == 0 ? "never" : left >= low && left <= high ? "within" : "outside");
  tc_value_release(value);
}

static void wait_expired(bytes key) {
  int64_t end = clock_ms(CLOCK_MONOTONIC) + 60000;
  for (int64_t pause_ms = 1;; pause_ms *= 2) {
    const tc_value *value = NULL;
    tc_status status = tc_get(cache, (char *)key.data, key.len, &value);
    tc_value_release(value);
    if (status != TC_OK) return (void)print_status(status);
    if (clock_ms(CLOCK_MONOTONIC) >= end) return (void)printf("STILL_THERE");
    nanosleep(&(struct timespec){pause_ms / 1000, pause_ms % 1000 * 1000000}, NULL);
  }
}

static void stats(const char *name) {
  const tc_value *json = NULL;
  if (print_status(tc_stats(cache, &json)) != TC_OK) return;
  char *text = allocate(json->len), quoted[64];
  memcpy(text, json->data, json->len);
  text[json->len] = 0;
  snprintf(quoted, sizeof quoted, "\"%s\":", name);
  printf(" %s", strstr(text, quoted) ? "present" : "absent");
  free(text);
  tc_value_release(json);
}

static void open_cache(void) {
  if (tc_open(TC_ABI_VERSION, document, TC_NTS, &cache) != TC_OK) fail(tc_last_error());
}

static void close_cache(void) {
  if (tc_close(cache) != TC_OK) fail(tc_last_error());
}

static void run_step(char **fields, int count) {
  const char *operation = fields[0];
#define IS(name, needed) (strcmp(operation, name) == 0 && count >= (needed))
  bytes key = decode(count > 1 ? fields[1] : "-");
  if (IS("set", 3)) set(key, fields + 2);
  else if (IS("get", 2)) get(key, fields + 2, tc_get);
  else if (IS("peek", 2)) get(key, fields + 2, tc_peek);
  else if (IS("get-into", 3)) get_into(key, (size_t)number(fields[2]));
  else if (IS("remaining", 4)) remaining(key, number(fields[2]), number(fields[3]));
  else if (IS("remove", 2)) print_status(tc_remove(cache, (char *)key.data, key.len));
  else if (IS("touch", 2)) print_status(tc_touch(cache, (char *)key.data, key.len));
  else if (IS("clear", 1)) print_status(tc_clear(cache));
  else if (IS("flush", 1)) print_status(tc_flush(cache, 60000));
  else if (IS("wait-expired", 2)) wait_expired(key);
  else if (IS("stats", 2)) stats(fields[1]);
  else if (IS("compare", 3)) printf(version_of(fields[1]) == version_of(fields[2]) ? "same" : "different");
  else if (IS("reopen", 1)) close_cache(), open_cache(), print_status(TC_OK);
  else fail("an unknown operation, or too few fields");
  free(key.data);
  puts("");
}

int main(int argc, char **argv) {
  if (argc != 4) fail("the arguments are SCRIPT, DOCUMENT_JSON and BACKEND");
  document = argv[2];
  FILE *script = fopen(argv[1], "r");
  if (!script) fail("the script cannot be read");
  open_cache();
  char *line = NULL;
  size_t room = 0;
  while (getline(&line, &room, script) > 0) {
    line_number++;
    if (strchr("#=@\n", *line)) continue;
    char *fields[MAX_FIELDS + 1] = {NULL};
    int count = 0;
    for (char *field = strtok(line, " \n"); field && count < MAX_FIELDS; field = strtok(NULL, " \n")) {
      fields[count++] = field;
    }
    run_step(fields, count);
  }
  free(line);
  fclose(script);
  close_cache();
  return 0;
}
