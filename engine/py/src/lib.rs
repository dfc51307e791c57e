//! `gateway_runtime._engine`: the engine as a Python class.
//!
//! Bytes in, bytes out. The interpreter is released in every call, and no thread of the engine ever attaches to it.
#![forbid(unsafe_code)]
// The macros of pyo3 make items without docs.
#![allow(missing_docs, reason = "generated items of pyo3")]

use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use sluice_engine_core::engine;

/// Longest time that a call accepts, so that an instant plus a duration cannot overflow.
const LONGEST_SECONDS: f64 = 1e9;

#[pymodule]
mod _engine {
    #[pymodule_export]
    use super::Engine;
}

/// The gateway engine of this process.
#[pyclass(frozen, module = "gateway_runtime._engine")]
struct Engine {
    engine: engine::Engine,
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, options: &[u8]) -> PyResult<Self> {
        let engine = py.detach(|| engine::Engine::new(options));
        engine.map(|engine| Self { engine }).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn start(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let addresses = py.detach(|| self.engine.start()).map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(addresses.iter().map(ToString::to_string).collect())
    }

    fn apply(&self, py: Python<'_>, update: &[u8]) -> PyResult<Vec<u8>> {
        let report = py.detach(|| serde_json::to_vec(&self.engine.apply(update)));
        report.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn remove(&self, py: Python<'_>, control_plane_id: &str) -> bool {
        py.detach(|| self.engine.remove(control_plane_id))
    }

    fn versions(&self, py: Python<'_>) -> Vec<u8> {
        py.detach(|| self.engine.versions())
    }

    fn stats(&self, py: Python<'_>) -> Vec<u8> {
        py.detach(|| self.engine.stats())
    }

    fn health(&self, py: Python<'_>) -> Vec<u8> {
        py.detach(|| self.engine.health())
    }

    fn metrics(&self, py: Python<'_>, control_plane_id: &str) -> Option<String> {
        py.detach(|| self.engine.metrics(control_plane_id))
    }

    fn set_target_health(&self, py: Python<'_>, order: &[u8]) -> PyResult<bool> {
        let found = py.detach(|| self.engine.set_target_health(order));
        found.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn advance_clock(&self, seconds: f64) -> PyResult<()> {
        self.engine.advance_clock(duration(seconds)?);
        Ok(())
    }

    fn stop(&self, py: Python<'_>, grace_seconds: f64) -> PyResult<()> {
        let grace = duration(grace_seconds)?;
        py.detach(|| self.engine.stop(grace));
        Ok(())
    }
}

fn duration(seconds: f64) -> PyResult<Duration> {
    if seconds > LONGEST_SECONDS {
        return Err(PyValueError::new_err("seconds: too large"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| PyValueError::new_err("seconds: not a time"))
}
