//! The least that a sandbox can cost on this machine: the kernel's part alone, no server, no daemon, no limits.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use linux::namespace::{self, SingleThreaded};
use linux::{exec, mount, process, socket};
use rustix::fs::{Mode, OFlags};

/// The argument that makes this program the static program inside.
pub(crate) const ANSWER: &str = "--answer";
/// Ids of the probe's user namespace; any free range does.
const ID_BASE: u32 = 3_000_000_000;

/// Runs the probe in a process of its own and returns milliseconds.
pub(crate) fn containers(layer: &Path, rounds: usize) -> Result<Vec<f64>> {
    let own = std::env::current_exe()?;
    let output = Command::new(own)
        .arg("--probe")
        .arg(layer)
        .args(["--rounds", &rounds.to_string(), "--daytona", "none", "--image", "none"])
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let samples = text.lines().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    if !output.status.success() || samples.len() != rounds {
        bail!("the floor probe ended with {} after {} rounds", output.status, samples.len());
    }
    Ok(samples)
}

/// Clones into the same namespaces as a sandbox has, gives the child an overlay of the same layer as its root, and has
/// it execute a static program, which answers. Prints the milliseconds of each round.
pub(crate) fn probe(layer: &Path, rounds: usize) -> Result<()> {
    use std::io::Write as _;
    let proof = SingleThreaded::prove()?;
    let program = exec::seal("answer", &std::fs::read("/proc/self/exe")?)?;
    let home = std::env::temp_dir().join(format!("floor-{}", std::process::id()));
    for round in 0..rounds {
        let place = home.join(round.to_string());
        std::fs::create_dir_all(place.join("upper"))?;
        std::fs::create_dir_all(place.join("work"))?;
        let started = Instant::now();
        let pidfd = container(&proof, &program, layer, &place)?;
        writeln!(std::io::stdout(), "{}", started.elapsed().as_secs_f64() * 1000.0)?;
        process::kill(&pidfd)?;
        while process::reap().is_none() {
            std::thread::yield_now();
        }
    }
    std::fs::remove_dir_all(home)?;
    Ok(())
}

fn container(proof: &SingleThreaded, program: &OwnedFd, layer: &Path, place: &Path) -> Result<OwnedFd> {
    let (ours, theirs) = socket::pair()?;
    let inherited = theirs.try_clone()?;
    let mut inside = Some((program.try_clone()?, inherited));
    let body = || match inside.take().map(|(program, control)| become_answer(program, control)) {
        Some(Ok(())) => 0,
        _ => 1,
    };
    let child = namespace::spawn(proof, namespace::ALL, None, body)?;
    drop(theirs);
    namespace::write_id_maps(child.pid, ID_BASE, 65_536)?;
    let lower = mount::clone_path(&layer.to_string_lossy())?;
    mount::map_ids(&lower, namespace::user_namespace(child.pid)?)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |name: &str| rustix::fs::open(place.join(name), flags, Mode::empty());
    let root = mount::overlay(&[lower], open("upper")?, open("work")?)?;
    socket::send(&ours, b"go", &[root.as_fd()])?;
    let mut buffer = [0; 16];
    let (length, _) = socket::receive(&ours, &mut buffer)?;
    if length != 1 {
        bail!("the program inside did not answer");
    }
    Ok(child.pidfd)
}

fn become_answer(program: OwnedFd, control: OwnedFd) -> Result<()> {
    let (_, mut roots) = socket::receive(&control, &mut [0; 16])?;
    let root = roots.pop().context("no root came")?;
    namespace::become_root()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty())?;
    mount::make_private(&old)?;
    mount::attach(&root, &old)?;
    mount::pivot(&root)?;
    match exec::execute(program, &["perf", ANSWER], &[], &[control])? {}
}

/// The static program inside: answers with one byte, then waits to be killed.
pub(crate) fn answer() -> Result<()> {
    // The control socket is descriptor 3, which only this path of `/proc`-less roots can name.
    let control = linux::child::inherit(3)?;
    socket::send(&control, b"!", &[])?;
    loop {
        std::thread::park();
    }
}

/// Spawns a shell that prints two letters, reads them and waits: the least that running a command can cost.
pub(crate) fn spawns(shell: &str, rounds: usize) -> Result<Vec<f64>> {
    let mut samples = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let started = Instant::now();
        let output = Command::new(shell).args(["-c", "echo hi"]).stdin(Stdio::null()).output()?;
        samples.push(started.elapsed().as_secs_f64() * 1000.0);
        if output.stdout != b"hi\n" {
            bail!("the shell printed something else");
        }
    }
    Ok(samples)
}

/// Copies `bytes` bytes from one thread to another over the loopback interface and returns megabytes per second: the
/// most that a transfer can reach.
pub(crate) fn loopback(bytes: u64) -> Result<f64> {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let reader = std::thread::spawn(move || -> std::io::Result<u64> {
        let (mut stream, _) = listener.accept()?;
        let mut piece = vec![0; 1024 * 1024];
        let mut all = 0;
        loop {
            match stream.read(&mut piece)? {
                0 => return Ok(all),
                read => all += read as u64,
            }
        }
    });
    let started = Instant::now();
    let mut stream = std::net::TcpStream::connect(address)?;
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..bytes / piece.len() as u64 {
        stream.write_all(&piece)?;
    }
    drop(stream);
    let read = reader.join().map_err(|_| anyhow::anyhow!("the reading thread panicked"))??;
    Ok(crate::megabytes(read) / started.elapsed().as_secs_f64())
}
