/* A host that does nothing about signals, before a Redis: the second argument is the document, TOKENCACHE_TEST_SCENE
 * says what happens. "dies": the server, again and again in the middle of what is written to it, until there is a file
 * "over". "storm": a thousand alarms a second, and news of children. */
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "check.h"

enum { THREADS = 4, LARGE = 256 * 1024, ALARMS = 4000 };

static tc_cache *cache;
static _Atomic bool is_over;
static _Atomic int kept, failures, alarms, accepted, answered;
static char large[LARGE];

static void *write_much(void *nothing) {
  for (int i = 0; !is_over; i++) {
    char key[32];
    snprintf(key, sizeof key, "key %d", i % 8);
    tc_status status = tc_set(cache, key, TC_NTS, large, sizeof large, NULL, NULL);
    if (status == TC_OK) kept++;
    else failures++;
    CHECK(!says("nterrupted"));
  }
  return nothing;
}

static void dies(void) {
  char over[512];
  signal(SIGPIPE, SIG_DFL);
  memset(large, 'x', sizeof large);
  snprintf(over, sizeof over, "%s/over", folder);
  start_threads(THREADS, write_much, NULL);
  while (access(over, F_OK) != 0) yield_briefly();
  is_over = true;
  join_threads();
  CHECK(kept > 0 && failures > 0);
  printf("%d large values kept, %d not while the server was away\n", kept, failures);
}

static void count(int number) { alarms += number == SIGALRM; }

static void done(void *user_data, const tc_result *result) {
  (void)user_data;
  IS(TC_OK, result->status);
  answered++;
}

static void *work(void *nothing) {
  for (int i = 0; alarms < ALARMS; i++) {
    char key[32];
    snprintf(key, sizeof key, "key %d", i % 100);
    IS(TC_OK, set(cache, key, key));
    if (i % 2) IS(TC_OK, tc_clear(cache));
    IS(TC_OK, get(cache, key));
    raise(SIGCHLD);
    if (i % 10 == 0) {
      accepted++;
      IS(TC_OK, tc_set_async(cache, key, TC_NTS, key, strlen(key), NULL, done, NULL));
    }
  }
  return nothing;
}

static void storm(void) {
  /* Without SA_RESTART: a system call of the library that forgot about signals fails now. */
  struct sigaction action = {.sa_handler = count};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGCHLD, &action, NULL) == 0);
  struct itimerval each_ms = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};
  CHECK(setitimer(ITIMER_REAL, &each_ms, NULL) == 0);
  start_threads(2, work, NULL);
  work(NULL);
  join_threads();
  IS(TC_OK, tc_flush(cache, 60000));
  UNTIL(answered == accepted);
  const tc_value *stats = NULL;
  IS(TC_OK, tc_stats(cache, &stats));
  CHECK(memmem(stats->data, stats->len, "\"links_lost\":0", 14) != NULL);
  tc_value_release(stats);
  printf("%d alarms, %d asynchronous calls among the others, no link lost\n", alarms, accepted);
}

void run(void) {
  IS(TC_OK, tc_open(TC_ABI_VERSION, chosen, TC_NTS, &cache));
  UNTIL(set(cache, "key", "value") == TC_OK);
  strcmp(getenv("TOKENCACHE_TEST_SCENE"), "dies") == 0 ? dies() : storm();
  CHECK(tc_close(cache) >= TC_OK);
}
