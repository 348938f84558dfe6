#include "calls.h"

#include <stdlib.h>
#include <string.h>

char *keys;
static char data[VALUE];

void fill(const subject *on) {
  if (!keys) keys = make_keys(ENTRIES);
  memset(data, 'v', sizeof data);
  for (size_t i = 0; i < ENTRIES; i++) must(set(on, keys + i * KEY_STRIDE, data, sizeof data), "fill");
}

void must_hold_everything(const subject *on) {
  for (size_t i = 0; i < ENTRIES; i++) {
    const tc_value *value;
    must(on->get(on->cache, keys + i * KEY_STRIDE, KEY_LENGTH, &value), "an entry that fits is not there");
    on->release(value);
  }
}

void zero_copy(const subject *on, const uint32_t *draws, size_t calls) {
  for (size_t i = 0; i < calls; i++) {
    const tc_value *value;
    if (on->get(on->cache, keys + draws[i] * KEY_STRIDE, KEY_LENGTH, &value) != TC_OK) abort();
    if (value->len != VALUE) abort();
    on->release(value);
  }
}

void read_all(const subject *on, const uint32_t *draws, size_t calls) {
  unsigned sum = 0;
  for (size_t i = 0; i < calls; i++) {
    const tc_value *value;
    if (on->get(on->cache, keys + draws[i] * KEY_STRIDE, KEY_LENGTH, &value) != TC_OK) abort();
    const unsigned char *bytes = value->data;
    for (size_t at = 0; at < value->len; at += 64) sum += bytes[at];
    on->release(value);
  }
  /* As if somebody needed it. */
  __asm__ volatile("" : : "r"(sum));
}

void overwrite(const subject *on, const uint32_t *draws, size_t calls) {
  for (size_t i = 0; i < calls; i++)
    if (set(on, keys + draws[i] * KEY_STRIDE, data, sizeof data) != TC_OK) abort();
}
