//! What can go wrong with a file, said so that a person knows what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use krate_model::store::StoreError;

/// A store that can't be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process works on it.
    #[error("{path}: {} has this store open; stop it, or give this one a store of its own", Holder(.holder))]
    InUse {
        /// The file.
        path: PathBuf,
        /// The id of that process, where it is known.
        holder: Option<u32>,
    },
    /// The directory isn't there.
    #[error("{path}: the directory {directory} doesn't exist; create it first")]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// The directory.
        directory: PathBuf,
    },
    /// The file or its directory may not be read and written.
    #[error("{path}: not permitted; this process needs to read and write the file and its directory")]
    NotPermitted {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{path}: this file is no krate store; name another path, or move the file away")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The file is a store, but its content doesn't hold together.
    #[error("{path}: the store is damaged ({what}); restore the file from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Another version wrote the file.
    #[error("{path}: the store has format {found}, this version reads format {supported}")]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The one that this version reads.
        supported: u64,
    },
    /// There is no room to open it.
    #[error("{path}: no space left on the device; free some and start again")]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error("{path}: can't be opened")]
    Other {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    pub(super) fn of_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => {
                let directory = path.parent().unwrap_or(Path::new(".")).to_path_buf();
                Self::NoDirectory { path, directory }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NotPermitted { path, source },
            // What redb answers to a file without its magic number, or cut short.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::NotAStore { path },
            _ if is_full(&source) => Self::Full { path, source },
            _ => Self::Other { path, source: source.into() },
        }
    }

    pub(super) fn of(path: &Path, error: redb::Error) -> Self {
        let owned = path.to_path_buf();
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                Self::InUse { path: owned, holder: None }
            }
            redb::Error::Corrupted(what) => Self::Damaged { path: owned, what },
            redb::Error::Io(source) => Self::of_io(path, source),
            redb::Error::TableTypeMismatch { .. } | redb::Error::TableIsMultimap(_) => Self::NotAStore { path: owned },
            other => Self::Other { path: owned, source: other.into() },
        }
    }
}

struct Holder<'a>(&'a Option<u32>);

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another process")?;
        self.0.map_or(Ok(()), |id| write!(f, " ({id})"))
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// What of `error` the port has a word for.
pub(super) fn store_error(store: &Arc<str>, error: redb::Error) -> StoreError {
    let store = Arc::clone(store);
    match error {
        redb::Error::Io(source) if is_full(&source) => StoreError::Full { store, source: Arc::new(source) },
        redb::Error::Corrupted(what) => StoreError::Damaged { store, what: what.into() },
        other => StoreError::Unavailable { store, source: Arc::new(other) },
    }
}
