/* What every benchmark needs: the libraries, keys, Zipf, a clock, a line of the report. */
#ifndef BENCH_H
#define BENCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tokencache.h"

enum { KEY_LENGTH = 73, KEY_STRIDE = 80 };

/* The library, or the floor or a peer behind the same functions. */
typedef struct {
  tc_cache *cache;
  tc_status (*get)(tc_cache *, const char *, size_t, const tc_value **);
  tc_status (*get_async)(tc_cache *, const char *, size_t, tc_done_fn, void *);
  void (*release)(const tc_value *);
  tc_status (*get_into)(tc_cache *, const char *, size_t, void *, size_t, size_t *);
  tc_status (*set)(tc_cache *, const char *, size_t, const void *, size_t, const tc_set_options *, uint64_t *);
  tc_status (*close)(tc_cache *);
} subject;

/* A cache with this configuration. */
subject open_document(const char *document);
/* A cache with L1 alone and this capacity; 0 for the document's default. */
subject open_tokencache(uint64_t capacity_bytes);
subject open_floor(void);
/* Another cache, of benches/peers: "moka", "quick_cache", "dashmap" or "lru". */
subject open_peer(const char *name, uint64_t capacity_bytes);
/* A function of the library. */
void *tokencache_symbol(const char *name);
/* A function of the floor's library. */
void *floor_symbol(const char *name);

/* Ends the program when the status is not TC_OK: a benchmark of failures measures nothing. */
void must(tc_status status, const char *what);
tc_status set(const subject *to, const char *key, const void *data, size_t len);

/* `guid.guid` of a number, KEY_LENGTH characters and a NUL; the same number is the same key. */
void write_key(uint64_t number, char key[KEY_STRIDE]);
/* Keys 0 … count - 1, KEY_STRIDE apart. */
char *make_keys(size_t count);

uint64_t next_random(uint64_t *state);
/* `count` draws of 0 … entries - 1 with exponent 0.99; popularity has nothing to do with the order of numbers. */
uint32_t *zipf_draws(size_t entries, size_t count, uint64_t seed);

double now_ns(void);
/* What all threads of this process have used, which a neighbour on the machine disturbs less than time. */
double cpu_ns(void);
double median(const double *values, size_t count);

/* One row: its name in benches/run, its figure, and a remark. */
void report(const char *row, double figure, const char *remark, ...) __attribute__((format(printf, 3, 4)));
#endif
