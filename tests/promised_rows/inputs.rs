//! `security-reliability.md` §4.

use super::Row;

pub const LEFT_OUT: &[(u32, &str)] = &[(
    24,
    "a value released twice is the caller's defect in C, and cannot be written in the other languages",
)];

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    (1, "a null handle", &["bad_inputs: 1"]),
    (2, "a handle of random bits", &["bad_inputs: 2"]),
    (3, "a closed handle", &[
        "bad_inputs: 3",
        "bindings/dotnet/Tokencache.Tests/ClosedTests.cs: Every_call_of_a_closed_cache_says_so",
    ]),
    (4, "closed twice", &[
        "bad_inputs: 4",
        "bindings/dotnet/Tokencache.Tests/ClosedTests.cs: Closing_says_whether_everything_is_in_L2_and_may_be_repeated",
    ]),
    (5, "a handle of another kind", &["bad_inputs: 5"]),
    (6, "closed while 8 threads read", &[
        "bad_inputs: 6",
        "bindings/dotnet/Tokencache.Tests/ClosedTests.cs: Eight_threads_use_what_two_close",
    ]),
    (7, "a null key", &[
        "bad_inputs: 7",
        "bindings/dotnet/Tokencache.Tests/ArgumentTests.cs: Null_is_named",
    ]),
    (8, "a null value of length 0", &[
        "bad_inputs: 8",
        "bindings/dotnet/Tokencache.Tests/ArgumentTests.cs: A_null_array_is_an_empty_value",
    ]),
    (9, "a null value of another length", &["bad_inputs: 9"]),
    (10, "an impossible length", &["bad_inputs: 10"]),
    (11, "a value one byte too large", &[
        "bad_inputs: 11",
        "bindings/dotnet/Tokencache.Tests/EntryTests.cs: A_value_of_one_mebibyte_passes_and_one_byte_more_is_refused",
    ]),
    (12, "an empty key", &[
        "bad_inputs: 12",
        "bindings/dotnet/Tokencache.Tests/KeyTests.cs: Impossible_keys_are_refused_without_being_repeated",
    ]),
    (13, "a key that is too long", &["bad_inputs: 13"]),
    (14, "a key of any bytes", &[
        "bad_inputs: 14",
        "bindings/dotnet/Tokencache.Tests/KeyTests.cs: Bytes_that_are_no_text_are_keys",
    ]),
    (15, "a document that is not UTF-8", &["bad_inputs: 15"]),
    (16, "a document 10,000 levels deep", &["bad_inputs: 16"]),
    (17, "an unknown member", &[
        "bad_inputs: 17",
        "config_document: an_unknown_member_is_refused_with_the_nearest_name",
    ]),
    (18, "options of another size", &["bad_inputs: 18"]),
    (19, "an unknown flag", &["bad_inputs: 19"]),
    (20, "a null output", &["bad_inputs: 20"]),
    (21, "a buffer that is too small", &[
        "bad_inputs: 21",
        "bindings/dotnet/Tokencache.Tests/EntryTests.cs: A_buffer_that_is_too_small_is_told_the_length_and_left_alone",
    ]),
    (22, "a misaligned output", &["bad_inputs: 22"]),
    (23, "an impossible time", &[
        "bad_inputs: 23",
        "bindings/dotnet/Tokencache.Tests/ExpiryTests.cs: A_thousand_years_are_possible_and_more_is_not",
    ]),
    (25, "a value used after close", &[
        "bad_inputs: 25",
        "bindings/dotnet/Tokencache.Tests/LifetimeTests.cs: A_value_is_readable_after_the_cache_was_closed",
    ]),
    (26, "a callback that raises in Python", &[
        "bad_inputs: 26",
        "bindings/python/tests/test_callbacks.py: test_an_exception_is_logged_and_the_configuration_decides",
    ]),
    (27, "a callback that throws in C++", &[
        "tests/cpp/callbacks.cpp: retry_callbacks_that_throw",
        "tests/cpp/callbacks.cpp: log_callbacks_that_throw",
        "tests/cpp/callbacks.cpp: completions_that_throw",
    ]),
    (28, "a handler that throws in .NET", &[
        "bindings/dotnet/Tokencache.Tests/CallbackTests.cs: A_retry_handler_that_throws_is_reported_and_the_configuration_decides",
        "bindings/dotnet/Tokencache.Tests/CallbackTests.cs: A_log_handler_that_throws_is_reported_and_called_again",
        "bindings/dotnet/Tokencache.Tests/CallbackTests.cs: A_continuation_that_throws_leaves_the_library_alone",
    ]),
    (29, "a callback that uses the cache", &[
        "bad_inputs: 29",
        "bindings/dotnet/Tokencache.Tests/CallbackTests.cs: A_handler_may_repair_what_failed_and_use_the_cache",
    ]),
    (30, "a callback that closes the cache", &[
        "bad_inputs: 30",
        "bindings/dotnet/Tokencache.Tests/CallbackTests.cs: A_handler_may_close_the_cache",
    ]),
    (31, "a callback that blocks", &["bad_inputs: 31"]),
    (32, "a null callback", &["bad_inputs: 32"]),
    (33, "a callback that nobody keeps", &[
        "bad_inputs: 33",
        "bindings/python/tests/test_callbacks.py: test_callbacks_survive_a_busy_collector",
        "bindings/dotnet/Tokencache.Tests/KeptTests.cs: Handlers_that_nobody_else_keeps_are_called_until_the_cache_closes_and_let_go_then",
        "bindings/dotnet/Tokencache.Tests/KeptTests.cs: Calls_under_way_are_answered_while_the_collector_runs",
    ]),
    (34, "a fork after open", &[
        "bad_inputs: 34",
        "bindings/python/tests/test_processes.py: test_a_forked_child_goes_on_using_the_handle",
        "fork: a_child_works_on_whatever_was_in_flight",
        "fork: forks_under_load_on_redis_with_a_journal_file",
    ]),
    (35, "a child that exits", &[
        "bad_inputs: 35",
        "tests/c/fork_family.c: only_exits",
        "fork: what_a_child_wrote_outlives_its_parents_close_and_its_own_exit",
    ]),
    (36, "preloaded, then four workers", &[
        "fork: children_may_exit_fork_again_serve_and_come_from_a_callback",
        "tests/c/fork_family.c: workers_serve",
        "bindings/python/tests/test_fork_servers.py: test_preloaded_workers_serve",
        "bindings/python/tests/test_fork_servers.py: test_gunicorn_with_a_preloaded_application_serves",
        "bindings/python/tests/test_fork.py: test_a_pool_uses_the_cache_that_its_parent_opened",
    ]),
    (37, "unloaded while open", &[
        "bad_inputs: 37",
        "bindings/python/tests/test_unload.py: test_what_is_unloaded_while_it_works_can_be_loaded_and_used_again",
    ]),
    (38, "1,000 threads come and go", &["bad_inputs: 38"]),
    (39, "a storm of signals", &[
        "bad_inputs: 39",
        "system_calls: threads_of_the_library_block_every_signal",
        "signals: a_storm_of_alarms_disturbs_nothing",
        "signals: a_server_that_dies_in_the_middle_of_a_write_does_not_take_the_host_down",
    ]),
    (40, "a panic at each named point", &[
        "panics: a_panic_at_each_named_point_is_a_status_and_costs_no_later_call_in_c",
        "panics: a_panic_at_each_named_point_is_a_status_and_costs_no_later_call_in_python",
        "panics: a_link_whose_heartbeat_has_panicked_is_given_up_and_made_anew",
    ]),
    (41, "little memory, odd capacities", &["bad_inputs: 41"]),
    (42, "no more files", &["bad_inputs: 42"]),
    (43, "two copies of the library", &["bad_inputs: 43"]),
    (44, "a stack of 64 KiB", &["bad_inputs: 44"]),
    (45, "opened 10,000 times", &[
        "bad_inputs: 45",
        "open_close: on_sqlite",
        "open_close: on_sqlite_with_a_journal_file",
        "open_close: on_redis",
        "open_close: on_redis_with_a_journal_file",
    ]),
];
