//! `security-reliability.md` §5.3.

use super::Row;

pub const LEFT_OUT: &[(u32, &str)] = &[(11, "Redis Cluster is not spoken; a node of one is refused by name")];

pub const ROWS: &[Row] = &[
    (
        1,
        "L2 is down at the start",
        &[
            "redis_link: opening_waits_for_nobody",
            "redis_link: opening_waits_where_the_document_asks_for_it_and_fails_with_the_status_of_l2",
            "redis_link: a_server_that_comes_later_is_found",
            "outages_ends: what_is_owed_to_a_server_that_nobody_has_seen_yet_is_served_here_and_reaches_it",
        ],
    ),
    (
        2,
        "it dies in the middle of a write",
        &[
            "link_cuts: a_set_is_done_or_owed_wherever_its_link_is_cut",
            "link_cuts: a_swap_is_done_or_failed_wherever_its_link_is_cut",
            "link_cuts: a_remove_is_done_or_owed_wherever_its_link_is_cut",
            "link_faults: a_link_that_is_reset_is_made_anew_and_what_was_said_is_true",
            "redis_link: a_link_that_is_cut_in_the_middle_of_a_reply_never_yields_a_wrong_value",
        ],
    ),
    (
        3,
        "it answers 5 s late",
        &[
            "link_faults: a_reply_that_is_5_s_late_is_nobody_elses_and_keeps_nobody",
            "link_faults: over_a_thin_line_what_takes_too_long_is_owed_and_arrives_when_there_is_room",
            "redis_link: an_answer_that_comes_too_late_is_nobody_elses",
            "circuit: a_server_slower_than_the_deadline_stays_away",
            "outages: no_call_waits_longer_than_its_deadline_for_an_l2_that_hangs",
        ],
    ),
    (
        4,
        "half-open links",
        &[
            "redis_link: a_link_that_falls_silent_is_given_up_and_made_anew",
            "redis_link: a_server_that_stands_still_keeps_nobody_longer_than_the_deadline",
            "circuit: a_link_that_swallows_everything_is_replaced_and_used_again",
            "circuit: a_server_that_stands_still_is_left_alone_until_it_goes_on",
        ],
    ),
    (
        5,
        "wrong password, missing right",
        &[
            "redis_trouble: a_password_that_is_wrong_names_the_user_and_is_tried_once_a_second",
            "redis_statuses: credentials_that_are_wrong_missing_or_not_enough_are_denied",
            "redis_acl: none_of_the_least_rights_could_be_left_out",
        ],
    ),
    (
        6,
        "the password changes while running",
        &[
            "redis_link: a_password_that_changes_while_the_cache_runs_is_read_again",
            "redis_trouble: a_password_or_a_right_that_changes_while_the_circuit_is_open_is_found_by_the_next_probe",
            "redis_files: a_password_file_that_becomes_a_pipe_and_a_file_again_is_read_again",
            "bindings/python/tests/test_retry_table_redis.py: \
             test_a_callback_that_brings_new_credentials_makes_its_call_succeed",
        ],
    ),
    (
        7,
        "a replica after a failover",
        &[
            "redis_statuses: a_replica_is_refused_by_a_sentence_that_names_its_primary",
            "redis_statuses: a_primary_that_becomes_a_replica_is_left_at_the_next_heartbeat_or_write",
            "failover_rules: a_primary_that_follows_another_is_left_and_what_it_forgot_is_on_that_one",
        ],
    ),
    (
        8,
        "an acknowledged write lost in a failover",
        &[
            "failover: a_primary_that_is_killed_takes_nothing_along_that_was_acknowledged",
            "failover: what_an_old_primary_acknowledged_when_it_was_one_no_more_is_on_the_new_one",
            "failover_rules: what_only_the_old_primary_had_acknowledged_is_on_the_new_one_within_seconds",
        ],
    ),
    (
        9,
        "maxmemory, and nothing is evicted",
        &[
            "redis_trouble: a_server_without_room_is_owed_what_it_does_not_take_and_is_not_pressed",
            "redis_statuses: a_server_without_room_is_full_for_writes_and_read_as_ever",
            "journal_replay: removals_go_on_where_there_is_no_room",
        ],
    ),
    (10, "L2 evicts keys", &["redis_trouble: what_a_server_evicts_is_a_miss_and_never_an_error"]),
    (
        12,
        "CLUSTERDOWN, LOADING, MASTERDOWN, BUSY, paused, too many clients",
        &[
            "redis_trouble: a_cluster_that_is_down_is_left_alone_until_it_is_up",
            "redis_trouble: a_server_that_loads_its_data_is_left_alone_until_it_has_loaded",
            "redis_trouble: a_server_that_is_kept_by_a_script_is_left_alone_until_the_script_is_killed",
            "redis_trouble: a_server_that_pauses_its_clients_is_left_alone_until_it_goes_on",
            "redis_trouble: a_server_that_takes_no_more_clients_is_left_alone_until_there_is_room",
            "redis_statuses: a_replica_that_has_lost_its_primary_is_a_replica",
        ],
    ),
    (
        13,
        "clocks that are wrong, step, or stand in 2099",
        &[
            "clocks: readers_whose_clock_is_wrong_serve_an_entry_until_its_end_and_not_longer",
            "clocks: a_clock_that_steps_moves_no_end",
            "clocks: what_a_writer_with_a_wrong_clock_wrote_ends_on_time_or_before",
            "clocks: a_writer_in_another_century_poisons_nobodys_order",
            "journal: a_clock_far_ahead_is_taken_for_now",
        ],
    ),
    (
        14,
        "damaged, truncated, too large, of another type, foreign",
        &[
            "odd_entries: a_thousand_odd_hashes_are_each_read_as_the_table_says",
            "odd_entries: a_thousand_keys_of_other_types_are_refused_and_left_as_they_are",
            "odd_entries: a_value_longer_than_is_allowed_here_is_too_large_wherever_it_was_found",
            "odd_entries: a_thousand_odd_rows_of_a_database_are_each_an_answer",
            "seal_redis: every_single_byte_of_a_stored_entry_flipped_in_a_real_redis_gives_no_bytes",
            "seal_redis: an_entry_cut_short_or_lengthened_in_a_real_redis_gives_no_bytes",
            "link_faults: a_byte_of_a_reply_that_is_flipped_gives_no_bytes_that_nobody_wrote",
            "link_faults: a_byte_that_is_flipped_under_tls_costs_the_link_and_nothing_else",
            "crypto_mutations: no_mutation_gives_bytes_and_each_is_called_what_it_is",
            "redis_stock: each_odd_entry_gets_the_answer_of_our_table_and_keeps_a_ttl_no_worse_than_stock_leaves",
        ],
    ),
    (15, "FLUSHALL", &["coherence_redis: every_change_is_heard_of_whoever_makes_it_and_however"]),
    (
        16,
        "the feed of changes is lost",
        &[
            "coherence_faults: nothing_old_is_served_as_sure_when_the_link_is_lost_with_a_word",
            "coherence_faults: nothing_old_is_served_as_sure_when_the_server_stands_still",
            "coherence_faults: nothing_old_is_served_as_sure_for_longer_than_a_heartbeat_and_its_timeout_after_a_silent_cut",
        ],
    ),
    (
        17,
        "killed while something is owed",
        &[
            "outages_killed: writers_that_are_killed_while_l2_comes_and_goes_lose_nothing_that_was_acknowledged",
            "outages_killed: what_a_killed_process_owed_reaches_a_redis_that_comes_back_empty_or_with_its_old_data",
            "journal_processes: a_kill_loses_nothing_that_was_promised",
        ],
    ),
    (
        18,
        "full disk, read-only disk, torn files",
        &[
            "disk_trouble: a_journal_on_a_full_disk_refuses_by_name_and_keeps_what_it_has",
            "disk_trouble: a_journal_whose_disk_fails_refuses_and_what_it_had_is_brought_when_the_disk_is_back",
            "disk_trouble: a_database_on_a_full_disk_is_owed_what_does_not_fit_and_gets_it_when_there_is_room",
            "disk_trouble: a_database_whose_log_was_torn_holds_a_beginning_of_what_was_written_and_takes_more",
            "disk_trouble: a_journal_whose_log_was_torn_owes_a_beginning_of_what_was_owed_and_brings_it",
            "journal_files: damage_is_an_answer_and_never_a_panic",
            "sqlite_trouble: a_full_disk_is_full_and_what_was_there_stays",
            "sqlite_trouble: a_read_only_file_system_denies",
            "circuit_sqlite: a_read_only_file_system_is_read_as_ever",
        ],
    ),
    (
        19,
        "two processes on one database",
        &[
            "sqlite_processes: processes_that_open_a_new_file_together_lose_no_update",
            "sqlite_processes: a_writer_killed_at_any_moment_leaves_a_good_database",
            "coherence_sqlite: what_one_process_has_written_the_next_read_of_another_finds",
            "journal_processes: processes_that_make_a_file_together_owe_into_it_together",
        ],
    ),
    (
        20,
        "many callers, many retries",
        &[
            "storms: sixty_four_callers_who_miss_the_same_keys_load_each_once",
            "storms: \
             before_a_server_that_is_away_callers_make_one_attempt_a_second_and_one_load_of_each_key_when_it_is_back",
            "redis_link: while_a_server_is_away_it_is_knocked_at_once_a_second",
            "circuit: at_most_one_probe_a_second_reaches_a_server_that_takes_nobody",
        ],
    ),
    (
        21,
        "a name leads elsewhere, a certificate is another",
        &[
            "names: a_name_that_leads_elsewhere_is_followed_at_the_next_link",
            "redis_tls: a_certificate_that_is_replaced_is_believed_at_the_next_link",
            "redis_tls: each_refusal_is_denied_and_says_what_is_wrong",
        ],
    ),
    (
        22,
        "the file of the key ring is replaced or half-written",
        &[
            "seal_ring: a_half_written_ring_keeps_the_old_one_and_says_so_until_it_is_repaired",
            "seal_ring: a_ring_file_that_changes_takes_effect_without_a_restart",
            "redis_files: a_ring_on_a_file_system_that_hangs_leaves_the_one_in_use_and_holds_up_no_other_cache",
        ],
    ),
    (
        23,
        "closed during an outage",
        &[
            "outages_ends: a_cache_that_is_closed_in_an_outage_is_closed_in_time_and_says_how_much_is_owed",
            "outages: flush_and_close_are_bounded_and_say_how_much_is_owed",
            "redis_link: closing_does_not_wait_for_a_server_that_is_silent",
        ],
    ),
    (
        24,
        "random faults for long",
        &[
            "outages_killed: two_languages_see_nothing_that_is_not_so_while_l2_comes_and_goes",
            "history: a_killed_writer_leaves_a_history_without_a_flaw",
        ],
    ),
    (
        25,
        "a callback that is slow, raises, or retries for ever",
        &[
            "tests/c/callbacks.c: the_say_of_the_application",
            "bindings/python/tests/test_callbacks.py: \
             test_retrying_tries_again_as_often_as_the_configuration_allows",
            "bindings/python/tests/test_callbacks.py: test_an_exception_is_logged_and_the_configuration_decides",
            "bad_inputs: 26",
            "bad_inputs: 31",
        ],
    ),
];
