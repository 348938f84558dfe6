/* A system that starts no thread any more: the library says so, and leaves the caller's thread as it was. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "check.h"

static const char *REDIS = "{\"version\": 1, \"l2\": {\"kind\": \"redis\", \"url\": \"redis://127.0.0.1:1\"},"
                           " \"encryption\": {\"algorithm\": \"none\"}, \"logging\": {\"to\": \"none\"}}";

static int left;

/* In place of the C library's, which starts as many as are left. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
  int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = NULL;
  *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  return left-- > 0 ? real(thread, attributes, body, argument) : EAGAIN;
}

static void never(void *called, const tc_result *result) {
  (void)result;
  *(bool *)called = true;
}

static void nobody_is_called_inside_the_call(void) {
  static bool called;
  left = 10;
  tc_cache *cache = open_cache(NULL);
  IS(TC_OK, set(cache, "key", "token"));
  left = 0;
  IS(TC_OUT_OF_MEMORY, tc_get_async(cache, "key", 3, never, &called));
  IS(TC_OUT_OF_MEMORY, tc_get_async(cache, "nothing", 7, never, &called));
  IS(TC_OUT_OF_MEMORY, tc_set_async(cache, "key", 3, "token", 5, NULL, never, &called));
  IS(TC_OUT_OF_MEMORY, tc_remove_async(cache, "key", 3, never, &called));
  IS(TC_OK, tc_close(cache));
  CHECK(!called);
}

void run(void) {
  tc_cache *untouched = (tc_cache *)77, *cache = untouched;
  sigset_t blocked;
  for (int i = 0; i < 3; i++) {
    IS(TC_OUT_OF_MEMORY, tc_open(TC_ABI_VERSION, REDIS, TC_NTS, &cache));
    IS(TC_OUT_OF_MEMORY, tc_open(TC_ABI_VERSION, "{\"version\": 1}", TC_NTS, &cache));
    CHECK(says("thread") && cache == untouched);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0 && sigismember(&blocked, SIGTERM) == 0);
  }
  nobody_is_called_inside_the_call();
}
