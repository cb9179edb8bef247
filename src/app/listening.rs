//! Whether the listeners are open. Pingora opens them by itself, some time after the admin doors: `/readyz` must not be ahead of them.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The ports that are to be open.
#[derive(Debug, Default)]
pub(super) struct Listening {
    ports: Vec<u16>,
    /// Once open they stay so until the end.
    open: AtomicBool,
}

impl Listening {
    pub fn new(ports: impl IntoIterator<Item = u16>) -> Self {
        Self { ports: ports.into_iter().collect(), open: AtomicBool::new(false) }
    }

    /// Whether all are open. Where the system does not tell, they are taken to be.
    pub fn is_open(&self) -> bool {
        if self.open.load(Relaxed) {
            return true;
        }
        let tables: Vec<String> = ["tcp", "tcp6"].iter().filter_map(|t| fs::read_to_string(format!("/proc/self/net/{t}")).ok()).collect();
        let open = tables.is_empty() || self.ports.iter().all(|port| tables.iter().any(|table| listens(table, *port)));
        self.open.store(open, Relaxed);
        open
    }
}

/// Whether a table of sockets has one that listens on the port (proc(5): local address as hex, state 0A).
fn listens(table: &str, port: u16) -> bool {
    let port = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        local.is_some_and(|local| local.ends_with(&port)) && state == Some("0A")
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_is_open_from_when_it_is_listened_on() {
        let (first, second) = (TcpListener::bind("127.0.0.1:0").expect("a port"), TcpListener::bind("[::]:0"));
        let ports: Vec<u16> =
            [Some(&first), second.as_ref().ok()].into_iter().flatten().map(|l| l.local_addr().expect("bound").port()).collect();
        assert!(Listening::new(ports.clone()).is_open());
        assert!(Listening::default().is_open());
        drop((first, second));
        assert!(!Listening::new(ports).is_open());
    }

    #[test]
    fn only_the_local_port_of_a_listener_counts() {
        let table = "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n   1: 0100007F:1F91 0100007F:1F92 01 0\n";
        assert_eq!([8080, 8081, 8082, 0].map(|port| listens(table, port)), [true, false, false, false]);
    }
}
