//! Golden files of this crate's tests.

/// Compares with the checked-in file; `UPDATE_GOLDEN=1` writes it.
pub fn check(path: &str, actual: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{} differs; review and run again with UPDATE_GOLDEN=1", path.display());
}
