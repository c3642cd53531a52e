//! `guest-exit CODE`: ends the virtual machine with an exit code.
//!
//! QEMU's isa-debug-exit device turns a write of `n` to its port into the exit
//! status `2n + 1`. `CODE + 1` is written, for QEMU's own failures have status 1;
//! a status is one byte, so codes above 126 arrive as 126.
//!
//! A kernel that is locked down lets nobody write to ports. There the code is said on the second
//! serial port, as its last line, and the caller powers the machine off.

use std::ffi::c_ulong;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::Duration;

/// The port that the ladder gives the device.
const PORT: u16 = 0xf4;

// musl's, which every static binary carries anyway.
unsafe extern "C" {
    fn ioperm(from: c_ulong, count: c_ulong, on: i32) -> i32;
    fn tcdrain(fd: i32) -> i32;
}

fn main() {
    let code: u32 = std::env::args()
        .nth(1)
        .and_then(|a| a.parse().ok())
        .unwrap_or(126);
    for port in ["/dev/ttyS0", "/dev/ttyS1"] {
        if let Ok(file) = OpenOptions::new().write(true).open(port) {
            // SAFETY: the descriptor is open for as long as `file` lives.
            unsafe { tcdrain(file.as_raw_fd()) };
        }
    }
    // The last bytes have left the driver, not yet the emulated chip.
    sleep(Duration::from_millis(20));
    // SAFETY: grants this process the device's four ports; no memory is involved.
    if unsafe { ioperm(PORT.into(), 4, 1) } != 0 {
        let said = OpenOptions::new()
            .write(true)
            .open("/dev/ttyS1")
            .and_then(|mut port| {
                writeln!(port, "guest: left with code {}", code.min(126))?;
                // SAFETY: the descriptor is open for as long as `port` lives.
                unsafe { tcdrain(port.as_raw_fd()) };
                Ok(())
            });
        if let Err(error) = said {
            eprintln!("guest-exit: /dev/ttyS1: {error}");
        }
        sleep(Duration::from_millis(20));
        std::process::exit(1);
    }
    // SAFETY: the ports were granted above, and the device behind it only ends QEMU.
    unsafe {
        std::arch::asm!("out dx, eax", in("dx") PORT, in("eax") code.min(126) + 1, options(nomem, nostack));
    }
    eprintln!("guest-exit: no isa-debug-exit device at port {PORT:#x}");
    std::process::exit(1);
}
