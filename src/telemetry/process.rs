//! What the kernel says about this process, read from `/proc` when somebody asks. All 0 where there is no `/proc`.

use std::fs;

/// Clock ticks a second in `/proc` (`USER_HZ`): 100 on every Linux architecture that Rust's standard library supports well.
const TICKS: f64 = 100.0;

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// Virtual memory, in bytes.
    pub virtual_bytes: u64,
    /// Time on a CPU since the start, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Most it may open.
    pub max_fds: u64,
    /// Threads.
    pub threads: u64,
    /// Start, in seconds since 1970.
    pub start_seconds: f64,
}

impl Process {
    /// Reads it now; about 50 us.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let open_fds = fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count().saturating_sub(1) as u64); // less the one that reads
        Self {
            open_fds,
            ..Self::parse(&text("/proc/self/status"), &text("/proc/self/stat"), &text("/proc/self/limits"), &text("/proc/stat"))
        }
    }

    fn parse(status: &str, stat: &str, limits: &str, system: &str) -> Self {
        let word = |text: &str, key: &str, at: usize| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().nth(at)?.parse().ok()
        };
        // the command's name is in parentheses and may hold anything, so count from the last one: state is field 3 of proc(5)
        let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|t| t.parse::<f64>().ok()).unwrap_or_default() / TICKS;
        let boot = word(system, "btime", 0).and_then(|s| u32::try_from(s).ok()).map_or(0.0, f64::from);
        Self {
            rss_bytes: word(status, "VmRSS:", 0).unwrap_or_default() * 1024,
            virtual_bytes: word(status, "VmSize:", 0).unwrap_or_default() * 1024,
            threads: word(status, "Threads:", 0).unwrap_or_default(),
            cpu_seconds: ticks(14) + ticks(15),
            start_seconds: boot + ticks(22),
            max_fds: word(limits, "Max open files", 0).unwrap_or_default(),
            open_fds: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn reads_this_process() {
        let file = fs::File::open("/proc/self/stat").expect("a Linux machine");
        let now = Process::read();
        assert!(now.rss_bytes > 512 * 1024 && now.virtual_bytes > now.rss_bytes, "{now:?}");
        assert!(now.open_fds >= 4 && now.max_fds >= now.open_fds && now.threads >= 1, "{now:?}");
        let wall = Clock::system().wall().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
        assert!(now.start_seconds <= wall + 1.0 && now.start_seconds > wall - 3600.0, "{now:?} {wall}");
        drop(file);
    }

    #[test]
    fn a_command_name_cannot_shift_the_fields() {
        let stat = "7 (a) R 9 (x) ) S 1 7 7 0 -1 4194560 110 0 0 0 250 50 0 0 20 0 3 0 1000 1 1";
        let got = Process::parse(
            "VmRSS:\t  12 kB\nThreads:\t3\n",
            stat,
            "Max open files            1024   4096   files\n",
            "cpu 1\nbtime 5000\n",
        );
        let want =
            Process { rss_bytes: 12 * 1024, cpu_seconds: 3.0, threads: 3, start_seconds: 5010.0, max_fds: 1024, ..Process::default() };
        assert_eq!(got, want);
        assert_eq!(Process::parse("", "", "", ""), Process::default());
    }
}
