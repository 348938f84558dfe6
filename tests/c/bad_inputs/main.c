/* Runs one row of bad inputs. */
#include "rows.h"

static const struct {
  int number;
  void (*run)(void);
} rows[] = {
    {1, null_handle},
    {2, random_handle},
    {3, closed_handle},
    {4, closed_twice},
    {5, handle_of_another_kind},
    {6, closed_while_read},
    {7, null_key},
    {8, null_empty_value},
    {9, null_value},
    {10, impossible_length},
    {11, value_too_large},
    {12, empty_key},
    {13, key_too_long},
    {14, key_of_any_bytes},
    {15, document_not_utf8},
    {16, document_too_deep},
    {17, document_unknown_member},
    {18, options_of_another_size},
    {19, unknown_flag},
    {20, null_output},
    {21, buffer_too_small},
    {22, misaligned_output},
    {23, impossible_time},
    {25, value_after_close},
    {29, callback_uses_the_cache},
    {30, callback_closes_the_cache},
    {31, callback_blocks},
    {32, callback_is_null},
    {34, fork_after_open},
    {35, child_exits},
    {37, unloaded_while_open},
    {38, thousand_threads},
    {39, storm_of_signals},
    {41, out_of_memory},
    {42, out_of_files},
    {43, two_copies},
    {44, small_stack},
    {45, opened_ten_thousand_times},
};

void run(void) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (rows[i].number == atoi(chosen)) {
      rows[i].run();
      return;
    }
  }
  failed(__FILE__, __LINE__, "there is such a row");
}
