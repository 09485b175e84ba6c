//! What `bailiwick audit verify` does in a second of processor time, on one core and on all of them, and how much memory it
//! takes. The program itself is run, so that its figures have nothing of this bench in them.

use std::{
    fs,
    process::{Command, Stdio},
    thread::{available_parallelism, sleep},
    time::{Duration, Instant},
};

use super::made_up::Log;

/// How often each is measured; the median counts.
const ROUNDS: usize = 3;

/// What one run took.
struct Run {
    took: Duration,
    cpu: Duration,
    peak: u64,
}

/// Verifies `log` several times with `program` and says what it took.
pub fn measure(log: &Log, program: &str) {
    let all = available_parallelism().map_or(1, usize::from);
    println!("`bailiwick audit verify` of {} entries, the median of {ROUNDS} runs each:\n", log.size);
    println!("| cores | entries a second | and per core of our own | CPU an entry, µs | peak memory, MB |");
    println!("|--:|--:|--:|--:|--:|");
    for cores in [1, all] {
        let mut runs: Vec<Run> = (0..ROUNDS).map(|_| run(log, cores, program)).collect();
        runs.sort_by_key(|run| run.cpu);
        let Run { took, cpu, peak } = &runs[ROUNDS / 2];
        let size = log.size as f64;
        println!(
            "| {cores} | {:.0} | {:.0} | {:.2} | {:.0} |",
            size / took.as_secs_f64(),
            size / cpu.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / size,
            *peak as f64 / 1e3,
        );
    }
    println!();
}

fn run(log: &Log, cores: usize, program: &str) -> Run {
    let (before, start) = (of_children(), Instant::now());
    let mut verifying = Command::new("taskset")
        .args(["-c", &format!("0-{}", cores - 1), program])
        .args(["audit", "verify", "--database", &log.url, "--key", &log.key])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("taskset (Debian: util-linux)");
    let mut peak = 0;
    let ended = loop {
        peak = peak.max(memory(verifying.id()));
        match verifying.try_wait().unwrap() {
            Some(ended) => break ended,
            None => sleep(Duration::from_millis(20)),
        }
    };
    let took = start.elapsed();
    let said = std::io::read_to_string(verifying.stdout.take().unwrap()).unwrap();
    let sound = format!("sound: {} entries", log.size);
    assert!(ended.success() && said.contains(&sound), "{said}");
    Run { took, cpu: of_children() - before, peak }
}

/// The most memory that a process has had so far, in kB.
fn memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The processor time of the children that have ended, in user and system mode, as the kernel counts it: in hundredths.
fn of_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(13).take(2);
    Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}
