#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tokencache_fuzz::envelope::run(bytes));
