/* A process with a cache, which does what it is told, line by line, and answers each with a line. What it is told to
 * `child …` it passes to a process that it forked. */
#include <pthread.h>
#include <unistd.h>

#include "check.h"

enum { STORM = 30 };

static tc_cache *cache;
static FILE *to_child, *from_child;

static void tell_value(FILE *out, tc_status status, const tc_value *value) {
  if (value == NULL) {
    fprintf(out, "%s - -\n", tc_status_name(status));
  } else {
    fprintf(out, "%s %s %.*s\n", tc_status_name(status), value->tier == TC_TIER_L1 ? "l1" : "l2", (int)value->len,
            (const char *)value->data);
  }
  tc_value_release(value);
}

static void tell_status(FILE *out, tc_status status) {
  fprintf(out, "%s %s\n", tc_status_name(status), status < 0 ? tc_last_error() : "");
}

static tc_status store(const char *key, const char *text, uint64_t expected_version) {
  tc_set_options options = TC_SET_OPTIONS;
  options.expected_version = expected_version;
  return tc_set(cache, key, TC_NTS, text, strlen(text), &options, NULL);
}

/* Over the version that L2 or L1 answers with. */
static tc_status swap(const char *key, const char *text) {
  const tc_value *value = NULL;
  IS(TC_OK, tc_get(cache, key, TC_NTS, &value));
  tc_status status = store(key, text, value->version);
  tc_value_release(value);
  return status;
}

struct storm {
  const char *key;
  const char *text;
  pthread_barrier_t begins;
};

static void *read_on(void *argument) {
  struct storm *storm = argument;
  pthread_barrier_wait(&storm->begins);
  for (int i = 0; i < STORM; i++) {
    const tc_value *value = NULL;
    CHECK(tc_get(cache, storm->key, TC_NTS, &value) >= 0);
    tc_value_release(value);
  }
  return NULL;
}

/* Three threads that read, and one that writes with `text`. */
static void rage(const char *key, const char *text) {
  struct storm storm = {.key = key, .text = text};
  pthread_barrier_init(&storm.begins, NULL, 4);
  start_threads(3, read_on, &storm);
  pthread_barrier_wait(&storm.begins);
  if (*text != 0) IS(TC_OK, set(cache, key, text));
  join_threads();
  pthread_barrier_destroy(&storm.begins);
}

static void serve(FILE *in, FILE *out);

static void fork_child(void) {
  int down[2], up[2];
  CHECK(pipe(down) == 0 && pipe(up) == 0);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    close(down[1]);
    close(up[0]);
    serve(fdopen(down[0], "r"), fdopen(up[1], "w"));
    _exit(0);
  }
  close(down[0]);
  close(up[1]);
  to_child = fdopen(down[1], "w");
  from_child = fdopen(up[0], "r");
}

static void pass(const char *line, FILE *out) {
  char answer[16384];
  fputs(line, to_child);
  fflush(to_child);
  CHECK(fgets(answer, sizeof answer, from_child) != NULL);
  fputs(answer, out);
}

static void obey(const char *line, FILE *out) {
  char word[16] = "", key[64] = "", text[256] = "";
  const tc_value *value = NULL;
  sscanf(line, "%15s %63s %255s", word, key, text);
  if (strcmp(word, "child") == 0) pass(line + 6, out);
  else if (strcmp(word, "get") == 0) {
    tc_status status = tc_get(cache, key, TC_NTS, &value);
    tell_value(out, status, value);
  } else if (strcmp(word, "peek") == 0) {
    tc_status status = tc_peek(cache, key, TC_NTS, &value);
    tell_value(out, status, value);
  } else if (strcmp(word, "set") == 0) tell_status(out, store(key, text, 0));
  else if (strcmp(word, "swap") == 0) tell_status(out, swap(key, text));
  else if (strcmp(word, "remove") == 0) tell_status(out, tc_remove(cache, key, TC_NTS));
  else if (strcmp(word, "stats") == 0) {
    IS(TC_OK, tc_stats(cache, &value));
    fprintf(out, "%.*s\n", (int)value->len, (const char *)value->data);
    tc_value_release(value);
  } else if (strcmp(word, "storm") == 0) {
    rage(key, text);
    fputs("done\n", out);
  } else if (strcmp(word, "fork") == 0) {
    fork_child();
    fputs("forked\n", out);
  } else failed(__FILE__, __LINE__, line);
  fflush(out);
}

/* Writes 1, 2, … under `key`, and says each when it is acknowledged, until somebody kills it. */
static void write_on(const char *key, long number, FILE *out) {
  for (;; number++) {
    char text[32];
    snprintf(text, sizeof text, "%ld", number);
    IS(TC_OK, set(cache, key, text));
    if (fprintf(out, "%s\n", text) < 0 || fflush(out) != 0) exit(0);
  }
}

static void serve(FILE *in, FILE *out) {
  char line[512], key[64];
  long number;
  while (fgets(line, sizeof line, in) != NULL) {
    if (sscanf(line, "write_on %63s %ld", key, &number) == 2) write_on(key, number, out);
    obey(line, out);
  }
}

void run(void) {
  IS(TC_OK, tc_open(TC_ABI_VERSION, chosen, TC_NTS, &cache));
  puts("open");
  fflush(stdout);
  serve(stdin, stdout);
  IS(TC_OK, tc_close(cache));
}
