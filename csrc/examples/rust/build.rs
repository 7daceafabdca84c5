//! Compiles the C core with `cc` (or $CC) and links it. With FASTTRPO_LIB_DIR, links the
//! libfasttrpo.a in that folder instead, as CMake installs it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The core, and the batches of environments.
const FOLDERS: [&str; 3] = ["core", "kernels", "envs"];

fn main() {
    println!("cargo:rerun-if-env-changed=FASTTRPO_LIB_DIR");
    println!("cargo:rerun-if-env-changed=CC");
    let folder = env::var("FASTTRPO_LIB_DIR").unwrap_or_else(|_| compile());
    println!("cargo:rustc-link-search=native={folder}");
    println!("cargo:rustc-link-lib=static=fasttrpo");
    if cfg!(unix) {
        println!("cargo:rustc-link-lib=m");
        println!("cargo:rustc-link-lib=pthread");
    }
}

/// Compiles libfasttrpo.a and returns its folder.
fn compile() -> String {
    let csrc = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    println!("cargo:rerun-if-changed={}", csrc.join("include").display());
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    let objects: Vec<PathBuf> = FOLDERS
        .iter()
        .flat_map(|folder| sources(&csrc.join(folder)))
        .collect::<Vec<_>>()
        .chunks(8)
        .flat_map(|some| compile_at_once(some, &out))
        .collect();
    run(Command::new("ar")
        .arg("crs")
        .arg(out.join("libfasttrpo.a"))
        .args(&objects));
    out.display().to_string()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    println!("cargo:rerun-if-changed={}", folder.display());
    let files = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = files
        .filter(|path| path.extension() == Some("c".as_ref()))
        .collect();
    found.sort();
    found
}

/// Starts a compiler for each source, waits for all, and returns the objects.
fn compile_at_once(sources: &[PathBuf], out: &Path) -> Vec<PathBuf> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let level = format!("-O{}", env::var("OPT_LEVEL").unwrap());
    let start = |source: &PathBuf| {
        let object = out.join(source.file_stem().unwrap()).with_extension("o");
        let mut command = Command::new(&compiler);
        command
            .args(["-std=c99", &level, "-fPIC", "-c"])
            .arg(source)
            .arg("-o")
            .arg(&object);
        (command.spawn().expect("there is no C compiler"), object)
    };
    let started: Vec<_> = sources.iter().map(start).collect();
    let finish = |(mut process, object): (std::process::Child, PathBuf)| {
        assert!(
            process.wait().unwrap().success(),
            "{} does not compile",
            object.display()
        );
        object
    };
    started.into_iter().map(finish).collect()
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?} failed");
}
