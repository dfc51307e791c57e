#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sluice_engine_fuzz::proxy_protocol(data));
