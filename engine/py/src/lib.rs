//! `gateway_runtime._engine`: the engine as a Python class. Bytes in, bytes out; the interpreter is released.
#![forbid(unsafe_code)]
