/* What every test program is made of: checks that end it, caches of both kinds, an L2 that goes away, waiting. */
#ifndef CHECK_H
#define CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokencache.h"

/* The two arguments of the program: a folder of its own; the tier ("l1", "sqlite"), or the row of the bad inputs. */
extern const char *folder, *chosen;

/* The program itself; it has passed when this returns. */
void run(void);

#define CHECK(condition) ((condition) ? (void)0 : failed(__FILE__, __LINE__, #condition))
#define IS(expected, call) is(__FILE__, __LINE__, #call, expected, call)
/* Waits for what other threads bring about. */
#define UNTIL(condition) \
  for (int64_t until_ = now_ms() + 40000; !(condition); yield_briefly()) CHECK(now_ms() < until_)

_Noreturn void failed(const char *file, int line, const char *what);
void is(const char *file, int line, const char *call, tc_status expected, tc_status got);
void yield_briefly(void);
int64_t now_ms(void);
int64_t unix_ms(void);

/* `number`, or a part of it where every instruction costs fifty. */
int often(int number);

/* Opens with an L2 where the program was asked to have one. `members` follow the others, from the comma on; null
 * stands for deadlines that no slow machine misses, and no circuit. */
tc_cache *open_cache(const char *members);
tc_cache *open_l1(const char *members);
tc_cache *open_sqlite(const char *members);
bool has_l2(void);
void l2_goes_away(void);
void l2_comes_back(void);

tc_status set(tc_cache *cache, const char *key, const char *text);
/* The status; the text is in `got_text` when it is TC_OK. */
tc_status get(tc_cache *cache, const char *key);
extern _Thread_local char got_text[256];

/* Whether this thread's last error says `words`. */
bool says(const char *words);

void start_threads(int count, void *(*body)(void *), void *argument);
void join_threads(void);

/* Of this process; under a sanitizer, which keeps freed memory on purpose, 0. */
long resident_kib(void);
int open_files(void);
int threads(void);

#endif
