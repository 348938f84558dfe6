/* The rows of the table of bad inputs, as docs and the test's output number them. Each passes when it returns. */
#ifndef ROWS_H
#define ROWS_H

#include "check.h"

void null_handle(void);
void random_handle(void);
void closed_handle(void);
void closed_twice(void);
void handle_of_another_kind(void);
void closed_while_read(void);
void value_after_close(void);

void null_key(void);
void null_empty_value(void);
void null_value(void);
void impossible_length(void);
void value_too_large(void);
void empty_key(void);
void key_too_long(void);
void key_of_any_bytes(void);
void options_of_another_size(void);
void unknown_flag(void);
void null_output(void);
void buffer_too_small(void);
void misaligned_output(void);
void impossible_time(void);

void document_not_utf8(void);
void document_too_deep(void);
void document_unknown_member(void);

void callback_uses_the_cache(void);
void callback_closes_the_cache(void);
void callback_blocks(void);
void callback_is_null(void);

void fork_after_open(void);
void child_exits(void);
void unloaded_while_open(void);
void storm_of_signals(void);
void two_copies(void);

void thousand_threads(void);
void out_of_memory(void);
void out_of_files(void);
void small_stack(void);
void opened_ten_thousand_times(void);

#endif
