//! Published weights: fetched once, into the user's cache.
//!
//! The system's `curl` does the transfer: it knows the machine's certificates and proxies, and the program stays free of
//! a TLS library. What makes a download safe is here: a `.part` file that a later try goes on with, and a name that the
//! file gets only when its SHA-256 begins as the name says, which is how torchvision marks its files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hectare_net::ModelKind;
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::{console, output};

/// Where torchvision's files are published.
const PUBLISHED: &str = "https://download.pytorch.org/models";
/// The environment's name for another address with the same files.
const MIRROR: &str = "HECTARE_MIRROR";
/// Tries in a row that bring nothing before it is given up.
const FRUITLESS: usize = 3;

/// torchvision's file of a trunk trained on ImageNet.
pub fn imagenet(model: ModelKind) -> &'static str {
    match model {
        ModelKind::Vgg16Bn => "vgg16_bn-6c64b313.pth",
        _ => "vgg16-397923af.pth",
    }
}

/// Whether `--init` asks for ImageNet's weights and not for a file.
pub fn is_imagenet(init: &Path) -> bool {
    init == Path::new("imagenet")
}

/// The published file of that name: from the cache, from PyTorch's cache, or downloaded.
///
/// # Errors
/// When it is in neither and must not be downloaded (exit code 2), or the download fails (exit code 3); always with the
/// place where the file may be put by hand.
pub fn published(name: &str, offline: bool) -> Result<PathBuf, Failure> {
    let cache = cache().ok_or_else(|| {
        Failure::input("there is no folder for downloads: neither XDG_CACHE_HOME nor HOME is set")
    })?;
    let path = cache.join("hectare").join(name);
    let torch = std::env::var_os("TORCH_HOME").map_or_else(|| cache.join("torch"), PathBuf::from);
    let theirs = torch.join("hub/checkpoints").join(name);
    if let Some(found) = [&path, &theirs].into_iter().find(|path| path.is_file()) {
        console::say(format_args!("weights of ImageNet from {}", found.display()));
        return Ok(found.clone());
    }
    let base = std::env::var(MIRROR).unwrap_or_else(|_| PUBLISHED.to_owned());
    let url = format!("{}/{name}", base.trim_end_matches('/'));
    let by_hand = format!("get {url} on another machine and put it at {}", path.display());
    if offline {
        let message = format!("{name} is not on this machine and --offline forbids to download it");
        return Err(Failure::input(message).help(by_hand));
    }
    output::create_folder(&output::parent(&path))?;
    console::say(format_args!("downloading {url} to {} (some 530 MB, once)", path.display()));
    download(&url, &path).map_err(|problem| Failure::work(problem).help(by_hand))?;
    Ok(path)
}

/// The user's folder of files that can be had again.
fn cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| Some(set("HOME")?.join(".cache")))
}

/// How one try ended.
#[derive(Debug)]
enum Outcome {
    /// The server sent everything.
    Whole,
    /// The connection broke; the rest may come another time.
    Cut,
    /// The server begins only at the beginning.
    NoResume,
    /// An HTTP status of 400 and above.
    Status(u16),
    /// The server was not reached.
    Failed(String),
}

/// Fetches `url` into `path`, going on with what an earlier try left.
fn download(url: &str, path: &Path) -> Result<(), String> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let part = path.with_file_name(format!("{name}.part"));
    let len = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let cannot = |error: io::Error| format!("cannot write {}: {error}", part.display());
    let mut fruitless = 0;
    loop {
        let before = len(&part);
        if before > 0 {
            console::say(format_args!("going on after {:.1} MB", before as f64 / 1e6));
        }
        match transfer(url, &part)? {
            Outcome::Whole => break,
            // Nothing is left to send: an earlier try ended between the last byte and the check.
            Outcome::Status(416) if before > 0 => break,
            Outcome::NoResume => fs::remove_file(&part).map_err(cannot)?,
            Outcome::Status(status) => return Err(format!("{url}: the server answers {status}")),
            Outcome::Failed(problem) => return Err(format!("{url}: {problem}")),
            Outcome::Cut if len(&part) > before => {
                fruitless = 0;
                continue;
            }
            Outcome::Cut => {}
        }
        fruitless += 1;
        if fruitless == FRUITLESS {
            return Err(format!("{url}: the connection breaks again and again; a later try goes on"));
        }
    }
    let hash = sha256(&part).map_err(|error| format!("cannot read {}: {error}", part.display()))?;
    let wanted = name.rsplit_once('-').and_then(|(_, rest)| rest.split('.').next()).unwrap_or_default();
    if wanted.is_empty() || !hash.starts_with(wanted) {
        fs::remove_file(&part).map_err(cannot)?;
        return Err(format!("what {url} sent has the SHA-256 {hash}, which does not begin with {wanted}"));
    }
    fs::rename(&part, path).map_err(cannot)
}

/// One try.
fn transfer(url: &str, part: &Path) -> Result<Outcome, String> {
    let mut curl = Command::new("curl");
    // Eight digits of a hash do not keep a forger out: what begins encrypted stays so.
    let protocols = if url.starts_with("https:") { "=https" } else { "=https,http" };
    curl.args(["--fail", "--location", "--proto", protocols, "--proto-redir", protocols]);
    curl.args(["--connect-timeout", "20", "--speed-limit", "1", "--speed-time", "60"]);
    curl.args(["--continue-at", "-", "--write-out", "%{http_code}", "--output"]).arg(part).arg(url);
    let shows = console::moves();
    curl.args(if shows { &["--progress-bar"][..] } else { &["--silent", "--show-error"] });
    curl.stdin(Stdio::null()).stdout(Stdio::piped());
    curl.stderr(if shows { Stdio::inherit() } else { Stdio::piped() });
    let done = match curl.spawn().and_then(|child| child.wait_with_output()) {
        Ok(done) => done,
        Err(error) => return Err(format!("downloads need the program curl: {error}")),
    };
    let status = String::from_utf8_lossy(&done.stdout).trim().parse().unwrap_or(0);
    // The codes of curl's manual: less than announced, no data, timeout, no answer, error while receiving, HTTP/2.
    Ok(match done.status.code() {
        Some(0) => Outcome::Whole,
        Some(22) => Outcome::Status(status),
        Some(33) => Outcome::NoResume,
        Some(18 | 28 | 52 | 56 | 92) if status != 0 || part.is_file() => Outcome::Cut,
        _ => {
            let said = String::from_utf8_lossy(&done.stderr);
            let line = said.lines().last().unwrap_or("curl failed").trim();
            Outcome::Failed(if line.is_empty() { done.status.to_string() } else { line.to_owned() })
        }
    })
}

/// In hexadecimal digits.
fn sha256(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut bytes = vec![0; 1 << 18];
    loop {
        match io::Read::read(&mut file, &mut bytes)? {
            0 => break,
            count => hash.update(&bytes[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;

    /// What the server does with a request.
    #[derive(Clone, Copy)]
    enum Answer {
        /// Sends what is asked for.
        Serve,
        /// Sends that many bytes of it and hangs up.
        CutAfter(usize),
        /// Sends everything, whatever is asked for.
        IgnoreRange,
        /// Sends the client to another path.
        Redirect,
        Status(u16),
    }

    fn contents() -> Vec<u8> {
        (0..100_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes()).collect()
    }

    /// A server of these answers, one for each request; gives the first bytes that were asked for.
    fn serve(answers: Vec<Answer>) -> (String, JoinHandle<Vec<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let thread = thread::spawn(move || {
            let body = contents();
            let mut starts = Vec::new();
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut start = 0;
                let mut ranged = false;
                for line in
                    BufReader::new(&stream).lines().map_while(Result::ok).take_while(|l| !l.is_empty())
                {
                    if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                        start = range.trim_end_matches('-').parse().unwrap();
                        ranged = true;
                    }
                }
                starts.push(start);
                let mut stream = &stream;
                let mut head =
                    |text: String| write!(stream, "HTTP/1.1 {text}\r\nConnection: close\r\n\r\n").unwrap();
                let (head_line, sent) = match answer {
                    Answer::Redirect => (format!("302 Found\r\nLocation: /other/{start}"), 0..0),
                    Answer::Status(status) => (format!("{status} No\r\nContent-Length: 0"), 0..0),
                    Answer::Serve | Answer::CutAfter(_) if ranged && start >= body.len() => {
                        ("416 Range Not Satisfiable\r\nContent-Length: 0".to_owned(), 0..0)
                    }
                    Answer::IgnoreRange => {
                        (format!("200 OK\r\nContent-Length: {}", body.len()), 0..body.len())
                    }
                    Answer::Serve | Answer::CutAfter(_) => {
                        let len = body.len() - start;
                        let line = if ranged { "206 Partial Content" } else { "200 OK" };
                        let range = format!("Content-Range: bytes {start}-{}/{}", body.len() - 1, body.len());
                        let end =
                            if let Answer::CutAfter(count) = answer { start + count } else { body.len() };
                        (format!("{line}\r\nContent-Length: {len}\r\n{range}"), start..end)
                    }
                };
                head(head_line);
                // A client that refuses the answer may have hung up.
                let _ = stream.write_all(&body[sent]);
            }
            starts
        });
        (address, thread)
    }

    /// Downloads from a server of these answers, if there is a curl: the result, and where each request began.
    fn fetch(path: &Path, answers: Vec<Answer>) -> Option<(Result<(), String>, Vec<usize>)> {
        if Command::new("curl").arg("--version").output().is_err() {
            eprintln!("there is no curl on this machine: nothing tested");
            return None;
        }
        let (address, server) = serve(answers);
        let name = path.file_name().unwrap().to_str().unwrap();
        let result = download(&format!("{address}/{name}"), path);
        Some((result, server.join().unwrap()))
    }

    /// A path whose name carries the first digits of the contents' hash.
    fn target(folder: &Path) -> PathBuf {
        let plain = folder.join("plain");
        fs::write(&plain, contents()).unwrap();
        let hash = sha256(&plain).unwrap();
        fs::remove_file(&plain).unwrap();
        folder.join(format!("some_net-{}.pth", &hash[..8]))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_known_hash() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("abc"), "abc").unwrap();
        let hash = sha256(&folder.path().join("abc")).unwrap();
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn cut_connections_are_resumed_through_redirects() {
        let folder = tempfile::tempdir().unwrap();
        let path = target(folder.path());
        let answers = vec![
            Answer::Redirect,
            Answer::CutAfter(1000),
            Answer::CutAfter(0),
            Answer::CutAfter(50_000),
            Answer::Redirect,
            Answer::Serve,
        ];
        let Some((result, starts)) = fetch(&path, answers) else { return };
        result.unwrap();
        assert_eq!(starts, [0, 0, 1000, 1000, 51_000, 51_000]);
        assert_eq!(fs::read(&path).unwrap(), contents());
        assert_eq!(names(folder.path()).len(), 1);
    }

    #[test]
    fn a_server_that_cannot_resume_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = target(folder.path());
        let answers = vec![Answer::CutAfter(1000), Answer::IgnoreRange, Answer::IgnoreRange];
        let Some((result, _)) = fetch(&path, answers) else { return };
        result.unwrap();
        assert_eq!(fs::read(&path).unwrap(), contents());
    }

    #[test]
    fn a_whole_part_is_only_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = target(folder.path());
        let part = path.with_extension("pth.part");
        fs::write(&part, contents()).unwrap();
        let Some((result, starts)) = fetch(&path, vec![Answer::Serve]) else { return };
        result.unwrap();
        assert_eq!((starts, names(folder.path()).len()), (vec![contents().len()], 1));
    }

    #[test]
    fn other_contents_are_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some_net-00000000.pth");
        let Some((result, _)) = fetch(&path, vec![Answer::Serve]) else { return };
        let problem = result.unwrap_err();
        assert!(problem.contains("does not begin with 00000000"), "{problem}");
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn dead_ends_are_named_and_what_came_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = target(folder.path());
        let Some((result, _)) = fetch(&path, vec![Answer::Status(404)]) else { return };
        assert!(result.unwrap_err().contains("the server answers 404"));
        let mut answers = vec![Answer::CutAfter(1000)];
        answers.extend([Answer::CutAfter(0); FRUITLESS]);
        let (result, starts) = fetch(&path, answers).unwrap();
        assert!(result.unwrap_err().contains("again and again"));
        assert_eq!(starts, [0, 1000, 1000, 1000]);
        assert_eq!(fs::read(path.with_extension("pth.part")).unwrap(), contents()[..1000]);
    }
}
