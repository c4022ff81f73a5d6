//! Free ports on loopback.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

/// Below the ranges from which Linux (32768 up) and macOS (49152 up) take the local ports of outgoing connections:
/// none of those can take a port between our looking and its being listened on.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

static HANDED_OUT: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port on 127.0.0.1 that nobody listens on and that this process has not handed out before. Processes start looking
/// at different places, so that two of them seldom meet.
///
/// # Errors
/// When no port in the range is free.
pub fn free_port() -> Result<u16> {
    let mut handed_out = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let handed_out = handed_out.get_or_insert_default();
    // Neighbouring process ids land far apart (Fibonacci hashing).
    let start = std::process::id().wrapping_mul(2_654_435_769) >> 16;
    for step in 0..u32::from(COUNT) {
        let Ok(offset) = u16::try_from((start + step) % u32::from(COUNT)) else {
            continue;
        };
        let port = FIRST + offset;
        if !handed_out.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            handed_out.insert(port);
            return Ok(port);
        }
    }
    bail!("no free port between {FIRST} and {}", FIRST + COUNT - 1)
}

/// Distinct free ports, as [`free_port`] finds them.
///
/// # Errors
/// When fewer are free.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    for port in &mut ports {
        *port = free_port()?;
    }
    Ok(ports)
}
