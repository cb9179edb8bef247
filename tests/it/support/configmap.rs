//! A folder as the kubelet mounts a ConfigMap: the files are links through `..data`, which is a link to a folder with a time in its name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Puts `rules.yaml` in place as the kubelet does: a new folder, one swap of the link `..data`, the links of the files where they are missing,
/// and the old folder goes.
pub fn swap(folder: &Path, text: &str) {
    static STAMP: AtomicU32 = AtomicU32::new(0);
    let stamp = format!("..2026_11_25_10_00_00.{:09}", STAMP.fetch_add(1, Relaxed));
    let old = fs::read_link(folder.join("..data")).ok();
    fs::create_dir(folder.join(&stamp)).expect("a folder");
    fs::write(folder.join(&stamp).join("rules.yaml"), text).expect("writable");
    symlink(&stamp, folder.join("..data_tmp")).expect("a link");
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("renamed");
    if fs::symlink_metadata(folder.join("rules.yaml")).is_err() {
        symlink("..data/rules.yaml", folder.join("rules.yaml")).expect("a link");
    }
    if let Some(old) = old {
        fs::remove_dir_all(folder.join(old)).expect("removed");
    }
}
