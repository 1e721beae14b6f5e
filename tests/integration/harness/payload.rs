//! The part of this program that runs inside containers, where no shell can look.
//!
//! The test program is static, so it can be bound into a root file system. Started under [`PATH`], it
//! acts before `main` (and libtest) would run.

/// Where the helper is bound in a container, and the argv[0] that it answers to.
pub(crate) const PATH: &str = "/payload";

#[used]
#[allow(unsafe_code)]
// SAFETY: the section holds pointers to functions that the C library calls before main; `entry` is one,
// and does nothing in the test program itself.
#[unsafe(link_section = ".init_array")]
static ENTRY: extern "C" fn() = entry;

extern "C" fn entry() {
    let args: Vec<String> = std::env::args().collect();
    if args.first().is_none_or(|name| name != PATH) {
        return;
    }
    let rest: Vec<&str> = args[1..].iter().map(String::as_str).collect();
    match rest[..] {
        ["fds"] => println!("{}", descriptors()),
        ["fds-to", file] => {
            let open = descriptors();
            std::fs::write(file, open).unwrap();
        }
        ["spy", stop] => spy(stop),
        ["overwrite", stop] => overwrite(stop),
        ["inject"] => inject(),
        ["notify", message] => notify(message),
        ["syscall", ref numbers @ ..] => println!("{}", call(numbers)),
        _ => panic!("payload: {rest:?}"),
    }
    std::process::exit(0);
}

/// The numbers of the open file descriptors, found without opening one.
fn descriptors() -> String {
    let is_open = |number: &i32| {
        #[allow(unsafe_code)]
        // SAFETY: F_GETFD only looks at the table of descriptors.
        let flags = unsafe { libc::fcntl(*number, libc::F_GETFD) };
        flags >= 0
    };
    (0..1024).filter(is_open).map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

/// Says something as sd_notify(3) does.
fn notify(message: &str) {
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let address = std::env::var_os("NOTIFY_SOCKET").expect("no NOTIFY_SOCKET");
    socket.send_to(message.as_bytes(), address).unwrap();
}

/// Until the file `stop` is there, looks at every process that turns up, other than the first: says
/// which it saw, and what of it could be opened while it still was the runtime.
fn spy(stop: &str) {
    println!("watching");
    while !std::path::Path::new(stop).exists() {
        let pids = std::fs::read_dir("/proc").unwrap().flatten();
        for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).filter(|pid| *pid > 1) {
            println!("seen {pid}");
            for name in ["exe", "cwd", "root", "fd/3", "fd/4", "fd/5", "fd/6", "fd/7", "fd/8", "fd/9", "fd/10"] {
                let path = format!("/proc/{pid}/{name}");
                match std::fs::read_link(&path) {
                    // The program that was added, which is the container's.
                    Ok(target) if target.starts_with("/bin") || target == std::path::Path::new("/") => {}
                    Ok(target) => println!("open {path}: {}", target.display()),
                    Err(_) => {}
                }
            }
            if std::fs::File::open(format!("/proc/{pid}/mem")).is_ok() {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                if name.starts_with("orlop") {
                    println!("open memory of {pid}");
                }
            }
        }
    }
    println!("done");
}

/// Until the file `stop` is there, opens the executable of every process that turns up, and writes to it
/// when it is no longer being executed (CVE-2019-5736).
fn overwrite(stop: &str) {
    println!("watching");
    while !std::path::Path::new(stop).exists() {
        for pid in std::fs::read_dir("/proc").unwrap().flatten() {
            let exe = pid.path().join("exe");
            let is_ours =
                |target: std::path::PathBuf| target.starts_with("/bin") || target == std::path::Path::new(PATH);
            if std::fs::read_link(&exe).map_or(true, is_ours) {
                continue;
            }
            let Ok(file) = std::fs::File::open(&exe) else { continue };
            println!("opened {}", exe.display());
            let again = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
            for _ in 0..100 {
                if let Ok(mut file) = std::fs::File::options().write(true).open(&again) {
                    println!("written: {:?}", std::io::Write::write_all(&mut file, b"#!/bin/false\n"));
                    break;
                }
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
        }
    }
    println!("done");
}

/// Types a character into the terminal that standard input is (CVE-2017-5226).
fn inject() {
    for (name, request, argument) in
        [("TIOCSCTTY", libc::TIOCSCTTY, std::ptr::null()), ("TIOCSTI", libc::TIOCSTI, c"x".as_ptr())]
    {
        #[allow(unsafe_code)]
        // SAFETY: the one takes a number, 0, and the other reads one byte of a string.
        let result = nix::errno::Errno::result(unsafe { libc::ioctl(0, request, argument) });
        println!("{name} {}", result.map_or_else(|errno| format!("{errno:?}"), |_| "done".to_owned()));
    }
}

/// Makes a system call with numbers for arguments: its result, or the name of the error.
pub(crate) fn call(numbers: &[&str]) -> String {
    let mut values = [0i64; 7];
    for (value, number) in values.iter_mut().zip(numbers) {
        *value = number.parse().unwrap();
    }
    let [number, a, b, c, d, e, f] = values;
    #[allow(unsafe_code)]
    // SAFETY: the tests choose calls without pointers, or with null ones.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { format!("{:?}", nix::errno::Errno::last()) } else { result.to_string() }
}
